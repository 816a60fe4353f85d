"""Variables of the environment: followed, or refused in one line that names them."""

import sys

import pytest

from bnn_ref import environment
from bnn_ref.environment import SettingError


@pytest.mark.parametrize("text, count", [("", None), ("1", 1), ("7", 7), ("007", 7), ("1000", 1000)])
def test_threads(text, count, monkeypatch):
    monkeypatch.setenv("BNN_REF_THREADS", text)
    assert environment.threads() == count


def test_threads_that_nobody_set(monkeypatch):
    monkeypatch.delenv("BNN_REF_THREADS", raising=False)
    assert environment.threads() is None


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", " 2", "2 ", "²", "٣", "1001", "9" * 5000])
def test_threads_that_are_no_number(text, monkeypatch):
    monkeypatch.setenv("BNN_REF_THREADS", text)
    with pytest.raises(SettingError, match="BNN_REF_THREADS: expected a whole number from 1 to 1000, got"):
        environment.threads()


class Broken:
    """Stands for a Numba that does not start."""

    def find_spec(self, name, path=None, target=None):
        if name == "numba":
            raise AssertionError("threads must be > 0.")


def test_numba_that_does_not_start(monkeypatch):
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    monkeypatch.setenv("NUMBA_NUM_THREADS", "0")
    with pytest.raises(SettingError, match=r"^Numba does not start \(threads must be > 0\.\), with .*NUM_THREADS=0"):
        environment.import_numba()


def test_where_there_is_no_numba_there_is_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert environment.import_numba() is None


@pytest.mark.parametrize("features", ["nonsense", "+avx2,nonsense", "avx2", " +avx2"])
def test_features_that_would_end_the_process(features, monkeypatch):
    monkeypatch.setenv("NUMBA_CPU_FEATURES", features)
    with pytest.raises(SettingError, match="NUMBA_CPU_FEATURES: expected features of a processor, each with"):
        environment.import_numba()


def test_features_as_llvm_takes_them(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    for features in ("", "+avx2", "+avx2,-fma", "+avx2,,-fma"):
        monkeypatch.setenv("NUMBA_CPU_FEATURES", features)
        assert environment.import_numba() is None
