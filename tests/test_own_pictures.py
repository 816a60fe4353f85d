"""Some of `python -m tests.own_pictures`: every paper and net on one set, and the other small sets on one paper."""

import pytest

from bnn_ref.nets import recipe
from bnn_ref.papers import PAPERS
from tests import own_pictures

ALL = [(paper, net) for paper in PAPERS for net in own_pictures.nets_of(paper)]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("name", "paper", "net"), [
    *(("rectangles", *one) for one in ALL), *((name, "bnn", net) for name in ("few", "absent", "classes")
                                              for net in recipe.NETS)])
def test_a_set_is_trained_evaluated_and_packed(name, paper, net, tmp_path):
    own_pictures.save("own.npz", name)
    said = own_pictures.attempt("own.npz", paper, net, tmp_path / "run")
    assert ("bits" in said) and ("equal logits" in said) == (paper != "float")


def test_the_command_says_what_failed(monkeypatch, capsys):
    def attempt(path, paper, net, folder, small):
        assert small
        if net == "convnet":
            raise own_pictures.Failure("logits")
        return "well"

    monkeypatch.setattr(own_pictures, "attempt", attempt)
    assert own_pictures.run(["--sets", "absent", "--papers", "bnn,ebp"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[:-1]] == [["absent", "bnn", "mlp"], ["absent", "bnn", "convnet"],
                                                         ["absent", "ebp", "mlp"]]
    assert [line.split(" s  ")[1] for line in lines[:-1]] == ["well", "FAILED: logits", "well"]
    assert lines[-1] == "1 failed"
