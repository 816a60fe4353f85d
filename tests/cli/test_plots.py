"""Pictures of a run and of timings, read back from the figure: which numbers are where, and under which name.

Those of other commands are tested with their commands.
"""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from bnn_ref.cli import plots


def history(*errors):
    return [{"epoch": number, "loss": 1 / number, "valid_error": error} for number, error in enumerate(errors, 1)]


def test_curves_of_a_run_whose_best_epoch_is_not_its_last():
    figure = plots.curves(history(50.0, 5.0, 9.0, 5.0, 7.0))
    left, right = figure.axes
    assert (left.get_ylabel(), left.get_yscale()) == ("training loss", "log")
    assert (right.get_ylabel(), right.get_yscale(), right.get_ylim()[0]) == ("validation error (%)", "linear", 0)
    (losses,), (errors, best) = left.lines, right.lines
    np.testing.assert_array_equal(losses.get_xydata(), [[1, 1], [2, 1 / 2], [3, 1 / 3], [4, 1 / 4], [5, 1 / 5]])
    np.testing.assert_array_equal(errors.get_xydata(), [[1, 50], [2, 5], [3, 9], [4, 5], [5, 7]])
    np.testing.assert_array_equal(best.get_xydata(), [[4, 5]])               # the later of equals, as in training
    assert best.get_marker() == "o"
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.texts] == ["training loss", "validation error", "best: 5.00 %, epoch 4"]
    assert [to_hex(line.get_color()) for line in legend.get_lines()] == [
        to_hex(line.get_color()) for line in (losses, errors, best)]
    assert losses.get_color() != errors.get_color() == best.get_color()


def test_the_best_epoch_of_a_second_round_may_be_worse_than_one_of_the_first():
    _, right = plots.curves(history(3.0, 9.0, 5.0, 6.0), 3).axes
    np.testing.assert_array_equal(right.lines[1].get_xydata(), [[3, 5]])
    assert right.lines[1].get_label() == "best: 5.00 %, epoch 3"
    _, below = plots.compared([("a", history(3.0, 9.0, 5.0, 6.0), 3, True)]).axes
    np.testing.assert_array_equal(below.lines[1].get_xydata(), [[3, 5]])
    assert below.get_ylim() == (0, 15)


def test_bars_of_ratios_from_the_top_down():
    figure = plots.bars("a title", [("rival", 0.5, False), ("ours", 12.34, True), ("fast", 123.4, True)])
    panel, = figure.axes
    assert figure.get_suptitle() == "a title" and panel.get_xscale() == "log"
    assert [bar.get_width() for bar in panel.patches] == [0.5, 12.34, 123.4]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["rival", "ours", "fast"]
    assert [text.get_text() for text in panel.texts] == ["0.5", "12.3", "123"]
    grey, ours, fast = (to_hex(bar.get_facecolor()) for bar in panel.patches)
    assert ours == fast == to_hex("tab:blue") and grey == to_hex("tab:gray")
    assert panel.yaxis_inverted() and list(panel.lines[0].get_xdata()) == [1, 1]
    assert panel.get_xlim() == pytest.approx((0.5 / 1.5, 123.4 * 1.8))


def test_a_picture_is_written_whole_or_not_at_all(tmp_path):
    plots.save(plots.Figure(), tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    assert before.startswith(b"\x89PNG")
    broken = plots.Figure()
    broken.savefig = lambda file, **options: file.write(b"half") and 1 / 0
    with pytest.raises(ZeroDivisionError):
        plots.save(broken, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before and len(list(tmp_path.iterdir())) == 1
