"""What commands are given to read: a FIFO is not waited for, a device not read to its end, which never comes."""

import os
import signal
import sys
from pathlib import Path

import pytest

from bnn_ref.cli import main
from tests.cli.made import made_run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="FIFOs and devices are as in Linux")


@pytest.fixture(autouse=True)
def _there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    os.symlink("fifo", "fifo.npz")
    os.symlink("/dev/zero", "device.npz")
    Path("data").mkdir()
    os.symlink("/dev/zero", "data/mnist.npz")
    for name, target in (("a", "../fifo"), ("b", "/dev/zero")):
        Path(name).mkdir()
        os.symlink(target, f"{name}/run.json")
    made_run(Path("run"), "bnn", "deterministic", "digits")
    os.unlink("run/params.npz")
    os.symlink("../fifo", "run/params.npz")


class Waited(BaseException):
    """Whoever waits gets it after some seconds; no command catches it."""


@pytest.fixture(autouse=True)
def _no_waiting(_there):
    def stop(*arguments):
        raise Waited

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("args", [
    *(["train", "bnn", "--data", name] for name in ("fifo.npz", "device.npz")),
    ["train", "bnn", "--data", "mnist", "--data-dir", "data"],
    ["train", "ebp", "--data", "news_comp_hw", "--data-dir", "fifo"],
    *([command, name] for command in ("evaluate", "costs", "filters", "compare") for name in ("a", "b", "fifo")),
    ["evaluate", "/dev/zero"], ["evaluate", "run"],
    ["pack", "run", "--out", "x.bnn"], ["features", "run", "--out", "x.png"],
    ["train", "bnn", "--out", "a", "--resume"], ["train", "bnn", "--out", "fifo"], ["measure", "a"],
    ["measure", "--readme", "fifo"], ["measure", "--readme", "/dev/zero"], ["rates", "--data", "fifo.npz"]])
def test_fifos_and_devices_are_refused_at_once(args, capsys):
    assert main.main(args) == 2
    out, error = capsys.readouterr()
    assert error.startswith("bnn-ref: error: ") and error.count("\n") == 1
    assert "loss" not in out and not Path("x.bnn").exists() and not Path("x.png").exists()
