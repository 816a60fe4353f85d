"""The pictures of a run folder. Matplotlib is imported here and nowhere else, and without a display."""

import math
from pathlib import Path

import numpy as np

from ..environment import SettingError
from ..files import atomic_write

try:
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter
except ValueError as error:           # it reads MPLBACKEND when it is imported, though no window is ever opened here
    raise SettingError(f"Matplotlib does not start ({error}); correct or unset MPLBACKEND") from error

FEATURES = 100                        # that are drawn; a first layer has a thousand
BETWEEN = (0.65, 0.75, 0.9)           # red, green, blue between them: light blue, since white and black are weights


def curves(history, best_epoch=None):
    """Training loss (left axis, logarithmic) and validation error in percent (right) by epoch; a Figure.

    history: one dict an epoch with "epoch", "loss", "valid_error" (`loop.State`); best_epoch: whose parameters are
    kept, which in a run of two rounds is the best of the second; None for the best of all, the later one of equals.
    """
    epochs = [record["epoch"] for record in history]
    errors = [record["valid_error"] for record in history]
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.add_subplot(xlabel="epoch", ylabel="training loss", yscale="log")
    right = left.twinx()
    lines = left.plot(epochs, [record["loss"] for record in history], color="tab:blue", label="training loss")
    lines += right.plot(epochs, errors, color="tab:orange", label="validation error")
    best = best_epoch or max(epoch for epoch, error in zip(epochs, errors) if error == min(errors))
    least = errors[best - 1]
    lines += right.plot(best, least, "o", color="tab:orange", label=f"best: {least:.2f} %, epoch {best}")
    right.set(ylabel="validation error (%)", ylim=(0, None))
    left.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(handles=lines, loc="outside upper center", ncols=len(lines), frameon=False)
    return figure


def compared(runs):
    """Training loss above, validation error in percent below, a colour a run; a Figure.

    runs: (label, history, best epoch or 0, whether finished), history as of `curves`. Dots are best epochs, broken
    lines unfinished runs. The errors of the first epochs may lie above the picture: what matters is where runs end.
    """
    figure = Figure(figsize=(7.5, 6 + 0.25 * len(runs)), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    highest = 0
    for number, (_, history, best, finished) in enumerate(runs):
        look = {"color": f"C{number}", "linestyle": "-" if finished else "--"}
        epochs, losses, errors = ([epoch[key] for epoch in history] for key in ("epoch", "loss", "valid_error"))
        above.plot(epochs, losses, **look)
        below.plot(epochs, errors, **look)
        if best:
            below.plot(best, errors[best - 1], "o", color=look["color"])
            highest = max(highest, 3 * errors[best - 1])
    above.set(ylabel="training loss", yscale="log")
    below.set(xlabel="epoch", ylabel="validation error (%)", ylim=(0, min(max(highest, 1), 100)))
    below.xaxis.get_major_locator().set_params(integer=True)
    legend = figure.legend(above.lines, ["run"] * len(runs), loc="outside lower center", frameon=False)
    for text, (label, *_) in zip(legend.texts, runs):
        _write(text, label)
    return figure


def _write(text, label):
    """Set a Matplotlib Text to what may be somebody's name: letter by letter, without mathematics where it has a $."""
    text.set_parse_math(False)
    text.set_text(label)


def against_published(entries):
    """Errors measured here beside the published ones, a line each, on a logarithmic axis; a Figure.

    entries: (label, published error, [errors here, one a seed]) in percent, from the top down.
    """
    figure = Figure(figsize=(8, 1.3 + 0.32 * len(entries)), layout="constrained")
    panel = figure.add_subplot(xscale="log", xlabel="test error (%)")
    for place, (_, published, errors) in enumerate(entries):
        mean = np.mean(errors)
        panel.plot([published, mean], [place, place], color="lightgray", zorder=1)
        panel.plot(published, place, "o", color="black", fillstyle="none", markersize=9, label="published")
        panel.plot(errors, [place] * len(errors), "|", color="tab:blue", markersize=10, label="here, each seed")
        panel.plot(mean, place, "o", color="tab:blue", markersize=5, label="here, mean")
    panel.set(yticks=range(len(entries)), yticklabels=[label for label, _, _ in entries],
              ylim=(len(entries) - 0.5, -0.5))
    for which in (panel.xaxis.set_major_formatter, panel.xaxis.set_minor_formatter):
        which(LogFormatter(minor_thresholds=(2, 0.5)))
    lines, labels = panel.get_legend_handles_labels()
    figure.legend(lines[:3], labels[:3], loc="outside upper center", ncols=3, frameon=False)
    return figure


def weight_histograms(params, names, titles=None):
    """Histograms of real weights, such as those behind binary ones, one panel a layer; a Figure.

    params: {name: array}; names: which of them; titles: what to write above, the names if None. Weights that are sure
    of their sign gather at -1 and +1.
    """
    figure = Figure(figsize=(2.6 * len(names), 2.8), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for panel, name, title in zip(panels, names, titles or names):
        w = params[name].ravel()
        limit = max(1, np.abs(w).max())           # where they are not clipped they may lie beyond
        panel.hist(w, bins=np.linspace(-limit, limit, 41), color="tab:blue")
        panel.set(xlabel="real weight", yticks=[])
        _write(panel.title, f"{title}\n{np.mean(np.abs(w) == 1):.0%} at ±1")
    return figure


def bars(title, entries):
    """Horizontal bars of ratios on a logarithmic axis, with 1 as the line to beat; a Figure.

    entries: (label, ratio, whether it is of this package) from the top down.
    """
    labels, ratios, ours = zip(*entries)
    figure = Figure(figsize=(7.5, 0.9 + 0.32 * len(entries)), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    panel = figure.add_subplot(xscale="log", xlabel="times faster")
    drawn = panel.barh(range(len(entries)), ratios, color=["tab:blue" if own else "tab:gray" for own in ours])
    panel.bar_label(drawn, [f"{ratio:.1f}" if ratio < 100 else f"{ratio:.0f}" for ratio in ratios], padding=3)
    panel.set(yticks=range(len(entries)), yticklabels=labels, xlim=(min(ratios) / 1.5, max(ratios) * 1.8))
    panel.axvline(1, color="black", linewidth=0.8)
    panel.invert_yaxis()
    return figure


def energies(rows, floats):
    """Energy of arithmetic and of reading weights by layer, beside the same layers in float32; a Figure.

    rows, floats: `costs.LayerCost`, of the network and of its float form, in the same order.
    """
    figure = Figure(figsize=(9, 1.4 + 0.5 * len(rows)), layout="constrained")
    place = np.arange(len(rows))
    for panel, kind in zip(figure.subplots(1, 2, sharey=True), ("arithmetic", "memory")):
        panel.set(title={"arithmetic": "arithmetic", "memory": "reading weights"}[kind], xscale="log",
                  xlabel="energy for one picture (µJ)")
        for shift, label, color, of in ((-0.2, "this network", "tab:blue", rows), (0.2, "float32", "tab:gray", floats)):
            panel.barh(place + shift, [1e6 * getattr(row, kind) for row in of], 0.4, color=color, label=label)
    panel.set(yticks=place, yticklabels=[row.name for row in rows])
    panel.invert_yaxis()
    figure.legend(*panel.get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False)
    return figure


def slice_counts(found):
    """How often each slice of signs occurs in a layer, the most frequent first, one panel a layer; a Figure.

    found: {name: filters.UniqueFilters}. The line is what each would occur were all that occur equally frequent.
    """
    figure = Figure(figsize=(2.8 * len(found), 2.8), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for panel, (name, unique) in zip(panels, found.items()):
        counts = np.sort(np.unique(unique.codes, return_counts=True)[1])[::-1]
        panel.stairs(counts, fill=True, color="tab:blue")
        panel.axhline(unique.codes.size / len(counts), color="black", linewidth=0.8)
        panel.set(title=f"{name}: {unique.codes.size:,} slices", xlabel=f"{len(counts)} different ones", ylim=(0, None))
    panels[0].set(ylabel="occurs so often")
    return figure


def features(w):
    """The weights of the first units as pictures in a grid: grey is 0, white the largest of all, black its negative.

    w: (M, C, H, W). Three channels are a colour picture; of another number they are pictures side by side. Returns a
    Figure.
    """
    w = w[:FEATURES]
    n, channels, height, _ = w.shape
    tiles = w.transpose(0, 2, 3, 1) if channels == 3 else w.transpose(0, 2, 1, 3).reshape(n, height, -1, 1)
    tiles = (tiles / max(np.abs(w).max(), np.finfo(w.dtype).tiny) + 1) / 2     # N H W and 3 or 1, from 0 to 1
    width = tiles.shape[2]
    across = math.ceil(math.sqrt(n))
    down = math.ceil(n / across)
    grid = np.full((down * (height + 1) - 1, across * (width + 1) - 1, 3), BETWEEN)
    for number, tile in enumerate(tiles):
        top, left = number // across * (height + 1), number % across * (width + 1)
        grid[top:top + height, left:left + width] = tile
    figure = Figure(figsize=(8, 8 * grid.shape[0] / grid.shape[1]))
    panel = figure.add_axes((0, 0, 1, 1))
    panel.imshow(grid, aspect="auto", interpolation="nearest")
    panel.set_axis_off()
    return figure


def exponents(found):
    """How often each power of two is the largest within a layer's inputs, one panel a layer; a Figure.

    found: {name: (exponents, counts, zeros)} as `powers.exponent_histogram` gives them.
    """
    figure = Figure(figsize=(2.8 * len(found), 2.8), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False, sharex=True)[0]
    for panel, (name, (exponent, counts, zeros)) in zip(panels, found.items()):
        panel.bar(exponent, counts / max(counts.sum(), 1), width=0.9, color="tab:blue")
        panel.set(title=f"{name}: {zeros / (zeros + counts.sum()):.0%} are 0", xlabel="⌊log2|x|⌋")
    panels[0].set(ylabel="share of the others")
    return figure


def save(figure, path):
    """Write a figure, whole or not at all, as the end of the path's name says: .png, .pdf or .svg. Raises OSError."""
    with atomic_write(path) as file:
        figure.savefig(file, format=Path(path).suffix.lower().removeprefix("."), dpi=110)
