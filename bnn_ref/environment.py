"""What users set in the environment, where a wrong value would end in the middle of the work, or end the process."""

import os
import re

MOST_THREADS = 1000


class SettingError(ValueError):
    """A variable of the environment that cannot be followed; the message is one line that names it."""


def threads():
    """BNN_REF_THREADS as a number, None where it is not set. Raises SettingError."""
    text = os.environ.get("BNN_REF_THREADS", "")
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= MOST_THREADS:
        raise SettingError(f"BNN_REF_THREADS: expected a whole number from 1 to {MOST_THREADS}, got {text!r}; correct "
                           "or unset it")
    return int(text)


def import_numba():
    """The module numba, None where it is not installed. Raises SettingError where its settings do not let it start."""
    features = os.environ.get("NUMBA_CPU_FEATURES", "")
    if any(feature and feature[0] not in "+-" for feature in features.split(",")):          # LLVM aborts the process
        raise SettingError("NUMBA_CPU_FEATURES: expected features of a processor, each with + or - before it, such as "
                           f"+avx2,-fma, got {features!r}; correct or unset it")
    try:
        import numba
    except ImportError:
        return None
    except Exception as error:        # Numba reads its variables when it is imported, and raises what comes
        said = ", ".join(f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("NUMBA_"))
        raise SettingError(f"Numba does not start ({error}), with {said or 'no variable set'}; correct or unset "
                           "that") from error
    return numba
