"""What kernels are compiled for follows from features alone, and what cannot be is refused in one line."""

import platform

import pytest

from bnn_ref.cli import main
from bnn_ref.environment import SettingError
from bnn_ref.kernels import compiled, ladder, machine
from tests.kernels.test_ladder import process

pytestmark = pytest.mark.task_xnor
THERE = {"sse2": True, "ssse3": True, "avx2": True, "avx512f": False}


@pytest.mark.parametrize(("changes", "lanes", "registers", "shuffled"), [
    ("", 2, 16, 0), ("+sse3", 2, 16, 0), ("+ssse3", 2, 16, 16), ("+sse4.2", 2, 16, 16), ("+avx", 2, 16, 16),
    ("+avx2", 4, 16, 32), ("+avx512f", 8, 32, 32), ("+avx512bw", 8, 32, 64), ("+neon", 2, 32, 16),
    ("+avx2,-avx2", 2, 16, 16), ("-avx2,+avx2", 4, 16, 32), ("+avx2,-ssse3", 2, 16, 0), ("+avx512bw,-fma", 4, 16, 32),
    ("+avx512bw,-avx512f,+popcnt", 4, 16, 32), ("+avx512bw,-avx512bw", 8, 32, 32),
])
def test_features_bring_others_with_them_and_take_others_away(changes, lanes, registers, shuffled):
    found = machine.processor(machine.switched({"sse2"}, changes))
    assert (found.lanes, found.registers, machine.SHUFFLES.get(found.shuffle, 0)) == (lanes, registers, shuffled)
    assert found.ternary == (lanes == 8) and not found.popcount
    assert found.lookup.lanes == max(16, shuffled) and found.plain.lanes == found.carry_save.lanes == lanes


def test_a_popcount_of_vectors_is_a_feature_of_its_own():
    assert machine.processor(machine.switched(set(), "+avx512vpopcntdq")).popcount
    assert not machine.processor(machine.switched(set(), "+avx512vpopcntdq,-avx512f")).popcount
    assert not machine.processor(machine.switched(set(), "+popcnt,+avx512bw")).popcount


@pytest.mark.parametrize(("changes", "message"), [
    ("+avx3", r"expected \+NAME or -NAME of features .*, got '\+avx3'"), ("avx2", "got 'avx2'"),
    ("+avx2, -ssse3", "got ' -ssse3'"),
    ("-avx2,+avx512f", "this processor has no avx512f, so what is compiled for it could not run here"),
])
def test_features_that_cannot_be_are_refused(changes, message):
    with pytest.raises(SettingError, match=f"^NUMBA_CPU_FEATURES: .*{message}"):
        machine.check_changes(changes, THERE)


def test_features_that_can_be_are_not_refused():
    machine.check_changes("", THERE)
    machine.check_changes("+avx2,-avx512f,-ssse3,", THERE)


@pytest.mark.skipif(not compiled.COMPILED, reason="without Numba there are no features")
def test_the_program_says_so_in_one_line():
    code = "import sys\nfrom bnn_ref.cli.main import main\nsys.stderr = sys.stdout\nprint(main(['bench', 'matmul']))"
    shown = process(code, NUMBA_CPU_FEATURES="+everything")
    assert shown.splitlines()[0].startswith("bnn-ref: error: NUMBA_CPU_FEATURES: expected +NAME or -NAME")
    assert shown.splitlines()[1:] == ["2"]


def test_a_wrong_number_of_threads_is_said_in_one_line(monkeypatch, capsys):
    monkeypatch.setenv("BNN_REF_THREADS", "many")
    if compiled.COMPILED:
        assert main.main(["bench", "matmul"]) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(not compiled.COMPILED or platform.machine() not in ("x86_64", "AMD64"), reason="of x86-64 alone")
def test_a_rung_that_the_processor_cannot_run_is_refused_and_never_chosen():
    code = ("import numpy as np\nfrom bnn_ref.kernels import ladder, xnor_matmul\n"
            "a = np.arange(20, dtype=np.uint64)[:, None]\n"
            "assert xnor_matmul(a, a, 64)[3, 5] == 64 - 2 * 2\n"
            "try:\n    ladder.rung('lookup')(a, a, 64)\nexcept ladder.Unavailable as error:\n    print(error)")
    shown = process(code, NUMBA_CPU_NAME="generic")
    assert shown.startswith("rung lookup: needs an instruction that shuffles bytes") and shown.count("\n") == 1


def test_without_compiled_kernels_nothing_is_missing(monkeypatch):
    monkeypatch.setattr(compiled, "COMPILED", False)
    monkeypatch.setattr(machine, "PROCESSOR", machine.Processor(2, 16))
    assert ladder.rung("lookup").missing() is None
    assert ladder.chosen(100, 100).name == "identity"
