"""Timings are of verified kernels, in turns, and what the page of timings shows are rungs that exist."""

import dataclasses
import itertools
import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bnn_ref import packed
from bnn_ref.bench import contests, report, timing
from bnn_ref.cli import main
from bnn_ref.kernels import LADDER, compiled, ladder, limit
from bnn_ref.nets import recipe
from bnn_ref.papers import bnn

pytest.importorskip("threadpoolctl", reason="timings need the extra `bench`")
pytestmark = pytest.mark.skipif(not compiled.COMPILED, reason="timings need compiled kernels")
PAGE = (Path(__file__).resolve().parents[2] / "notebooks" / "speed.md").read_text(encoding="utf-8")
CPU = [rung.name for rung in LADDER if rung.module != "cuda" and not rung.missing()]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(timing, "PATIENCE", 0.0)
    monkeypatch.setattr(timing, "SAMPLE", 0.01)


@pytest.fixture(scope="module")
def square():
    return contests.matmul(sizes=(64, 130), side=200)


@pytest.fixture(scope="module")
def small_mlp():
    return contests._inference("mlp", recipe.Recipe("70FC-30FC", 1, 1, (1, 1)), (1, 9, 7), 120, 3, 50, 0.0,
                               lambda text: None)


def test_contenders_take_turns():
    order = []
    spent = timing.interleave({name: lambda name=name: (order.append(name), time.sleep(0.004)) for name in "ab"})
    assert len(spent["a"]) == len(spent["b"]) >= 3
    assert order[:4] == ["a", "a", "b", "b"]                       # to warm up, and to see how long it takes
    turns = [name for name, _ in itertools.groupby(order[4:])]
    assert turns == ["a", "b"] * len(spent["a"])
    assert all(0.004 <= seconds < 0.1 for seconds in spent["a"])   # of one call, not of all calls of a sample


def test_a_contender_may_measure_itself():
    assert timing.interleave({"a": lambda: 0.25})["a"][:3] == [0.25] * 3


def test_a_summary_is_the_median_and_the_spread_around_it():
    summary = timing.summary([4.0, 1.0, 2.0, 3.0, 100.0])
    assert summary["median"] == 3.0
    assert summary["spread"] == pytest.approx((4 - 2) / 3)
    assert summary["samples"] == [4.0, 1.0, 2.0, 3.0, 100.0]


def test_every_rung_is_timed_beside_its_rivals(square):
    names = {row["name"] for row in square["rows"] if (row["size"], row["threads"]) == (130, 1)}
    limits = {limit.LABEL + name for name in limit.available()}
    assert {*CPU, *limits, contests.BLAS, "pack", "copy of its input"} <= names
    assert all(row["median"] > 0 and row["operations"] == 2 * row["size"]**3 for row in square["rows"])
    assert {row["name"] for row in square["few_rows"]} == {*CPU, contests.BLAS} & {*ladder.WITH_PLANES, contests.BLAS}
    for key in ("machine", "cores", "date", "versions"):
        assert square[key]


def test_a_wrong_rung_is_not_timed(monkeypatch):
    wrong = dataclasses.replace(ladder.rung("loops"), name="tiles")
    monkeypatch.setattr(type(wrong), "function", property(
        lambda self: lambda a, b, k: np.ones((len(a), len(b)), np.int32)))
    monkeypatch.setattr(contests, "LADDER", (wrong,))
    with pytest.raises(AssertionError, match="rung tiles is wrong"):
        contests.matmul(sizes=(64,))


def test_networks_whose_logits_differ_are_not_timed(monkeypatch):
    right = packed.predict
    monkeypatch.setattr(packed, "predict", lambda *args: right(*args) + np.float32(1e-6))
    with pytest.raises(AssertionError, match="logits differ"):
        contests._inference("mlp", recipe.Recipe("8FC", 1, 1, (1, 1)), (1, 4, 4), 100, 2, 50, 0.0, lambda text: None)


@pytest.fixture(scope="module")
def steps():
    return contests.training(nets=("mlp",))


def test_training_steps_are_compared_with_the_readable_one(steps):
    names = [row["name"] for row in steps["rows"] if row["threads"] == 1]
    assert names[:2] == ["readable", "fast"]
    text = report.tables(steps)
    assert "| `1024FC-1024FC-1024FC` | 1 |" in text and "of readable" in text
    title, bars = report.bars(steps)
    assert "readable" in title and bars[0][1] == 1


def test_a_fast_step_that_writes_other_bytes_is_not_timed(monkeypatch):
    right = contests.fast.training_step

    def wrong(*args):
        loss, params, running, state = right(*args)
        params["fc1.w"][0, 0] += 1e-7
        return loss, params, running, state

    monkeypatch.setattr(contests.fast, "training_step", wrong)
    with pytest.raises(AssertionError, match="other bytes"):
        contests.training(nets=("mlp",))


def test_tables_name_every_rung_and_the_machine(square, small_mlp):
    text = report.tables(square)
    for name in CPU:
        assert f"| `{name}` | 1 |" in text
    assert square["machine"] in text and "bnn-ref bench matmul" in text
    text = report.tables(small_mlp)
    assert "120 pictures at once" in text and "3 pictures one at a time" in text


def test_ratios_are_of_medians():
    rows = [{"size": 64, "threads": 1, "name": name, "operations": 1, "median": median} for name, median in (
        ("blocks", 2.0), ("lanes", 4.0), (contests.BLAS, 20.0), ("register limit, count", 1.8),
        ("PyTorch int8", 3.0), ("pack", 1.0), ("copy of its input", 4.0))]
    found = dict(report.figures({"bench": "matmul", "rows": rows, "few_rows": []}))
    assert found["64³: register limit, count / best rung, 1 thread"] == pytest.approx(0.9)
    assert found["64³: lanes / blocks, 1 thread"] == 2
    assert found[f"64³: {contests.BLAS} / blocks, 1 thread"] == 10
    assert found["64³: PyTorch int8 / blocks, 1 thread"] == 1.5
    assert found["64³: pack / copy of its float32 input"] == 0.25
    assert found["64³: rate of blocks / its rate at the smallest size"] == 1


def test_the_float_rival_is_the_network_at_its_best(small_mlp):
    """It gives the network's logits (checked inside) and does not binarize its weights anew for each batch."""
    net, params, _ = contests._untrained(recipe.Recipe("8FC", 1, 1, (1, 1)), (1, 4, 4),
                                         np.zeros((100, 1, 4, 4), np.uint8))
    steps, weights = contests._float_form(net, params)
    assert set(np.unique(weights["fc1.w"])) == {-1, 1}
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((3, 16), np.float32), rng.standard_normal((16, 8), np.float32)
    np.testing.assert_array_equal(next(step for step in steps if step.name == "fc1").predict(x, w), x @ w)
    assert small_mlp["float32_bytes"] > small_mlp["packed_bytes"]


def test_the_command_prints_tables_and_writes_what_was_asked(square, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(contests.BENCHES, "matmul", lambda say, thorough: say("...") or square)
    Path("notes.md").write_text("<!-- bench matmul --><!-- /bench matmul -->")
    assert main.main(["bench", "matmul", "--json", "m.json", "--readme", "notes.md"]) == 0
    shown = capsys.readouterr().out
    assert "| `carry_save` |" in shown and "register limit, count / best rung" in shown and "m.png" in shown
    assert json.loads(Path("m.json").read_text(encoding="utf-8")) == square
    assert Path("m.png").read_bytes().startswith(b"\x89PNG")
    assert report.tables(square) in Path("notes.md").read_text(encoding="utf-8")
    assert main.main(["bench", "matmul"]) == 0
    assert Path("bench-matmul.png").exists()


def test_a_machine_has_its_own_tables_on_the_page(square, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = {**square, "machine": "Another processor"}
    page = report.beside_others("", other)
    assert page == report.tables(other)
    page = report.beside_others(page, square)
    assert page == f"{report.tables(other)}\n\n{report.tables(square)}"
    newer = {**other, "date": "2100-01-01"}
    assert report.beside_others(page, newer) == f"{report.tables(newer)}\n\n{report.tables(square)}"
    monkeypatch.setitem(contests.BENCHES, "matmul", lambda say, thorough: square)
    Path("notes.md").write_text(f"before\n<!-- bench matmul -->\n{page}\n<!-- /bench matmul -->\nafter\n")
    assert main.main(["bench", "matmul", "--readme", "notes.md"]) == 0
    assert Path("notes.md").read_text() == f"before\n<!-- bench matmul -->\n{page}\n<!-- /bench matmul -->\nafter\n"


def test_what_a_smaller_product_shows_to_be_too_slow_is_left_out():
    rows = [{"size": 1024, "threads": threads, "name": name, "median": median} for threads, name, median in (
        (1, "PyTorch int8", 1.26), (2, "PyTorch int8", 1.24), (1, "blocks", 50.0), (1, contests.BLAS, 50.0))]
    assert contests._slow(rows, 2048, 1) == {"PyTorch int8"} and contests._slow(rows, 2048, 2) == set()
    assert contests._slow(rows, 4096, 2) == {"PyTorch int8"}


def test_how_long_it_takes_is_chosen(monkeypatch):
    asked = []
    monkeypatch.setattr(timing, "PATIENCE", 5.0)
    monkeypatch.setattr(contests, "_square", lambda size, *rest: asked.append((size, rest[-2])) or [])
    monkeypatch.setattr(contests, "_few_rows", lambda m, side, rng, patience, say: asked.append((m, patience)) or [])
    for thorough, sizes, patience in ((False, [1024, 2048, 4096], 5.0), (True, [1024, 2048, 4096, 8192], 20.0)):
        asked.clear()
        monkeypatch.setattr(contests, "_operands", lambda *sizes: ())
        contests.matmul(thorough=thorough)
        assert sorted({size for size, _ in asked if size >= 1024}) == sizes
        assert {given for _, given in asked} == {patience}


def test_markers_are_looked_for_before_minutes_are_spent(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(contests.BENCHES, "mlp", lambda say, thorough: pytest.fail("timed"))
    (tmp_path / "notes.md").write_text("nothing")
    assert main.main(["bench", "mlp", "--readme", str(tmp_path / "notes.md")]) == 2
    assert "expected the markers" in capsys.readouterr().err
    assert main.main(["bench", "mlp", "--readme", str(tmp_path / "absent.md")]) == 2
    assert "absent.md" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["threadpoolctl", "numba"])
def test_what_timings_need_is_said_in_one_line(missing, monkeypatch, capsys):
    if missing == "numba":
        monkeypatch.setattr(compiled, "COMPILED", False)
    else:
        monkeypatch.setitem(sys.modules, missing, None)
    assert main.main(["bench", "matmul"]) == 2
    error = capsys.readouterr().err
    assert missing in error.lower() and error.count("\n") == 1


def test_the_page_shows_the_rungs_there_are():
    for what in contests.BENCHES:
        block = re.search(rf"<!-- bench {what} -->\n(.*?)\n<!-- /bench {what} -->", PAGE, re.S)[1]
        assert f"`bnn-ref bench {what}`" in block
        if what == "matmul":
            there = [(rung.name, rung.change) for rung in LADDER if rung.module != "cuda"]
            of_machines = [re.findall(r"^\| `(\w+)` \| 1 \| .* \| ([^|]*) \|$", part, re.M)
                           for part in re.split(r"^\*.* cores; ", block, flags=re.M)[1:]]
            assert there in of_machines                # one at least can run all; none shows what is no more
            assert all(set(shown) <= set(there) for shown in of_machines)


def test_the_networks_that_are_timed_are_the_papers():
    assert bnn.RECIPES["mnist", "mlp", "paper"].net == "4096FC-4096FC-4096FC"
    assert bnn.RECIPES["cifar10", "convnet", "paper"].net.startswith("128C3-128C3-MP2-256C3")
