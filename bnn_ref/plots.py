"""The pictures of a run folder. Matplotlib is imported here and nowhere else, and without a display."""

import numpy as np
from matplotlib.figure import Figure

from .files import atomic_write


def curves(history):
    """Training loss (left axis, logarithmic) and validation error in percent (right) by epoch; a Figure.

    history: one dict an epoch with "epoch", "loss", "valid_error" (`train.State`).
    """
    epochs = [record["epoch"] for record in history]
    errors = [record["valid_error"] for record in history]
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.add_subplot(xlabel="epoch", ylabel="training loss", yscale="log")
    right = left.twinx()
    lines = left.plot(epochs, [record["loss"] for record in history], color="tab:blue", label="training loss")
    lines += right.plot(epochs, errors, color="tab:orange", label="validation error")
    best = max(epoch for epoch, error in zip(epochs, errors) if error == min(errors))
    lines += right.plot(best, min(errors), "o", color="tab:orange", label=f"best: {min(errors):.2f} %, epoch {best}")
    right.set(ylabel="validation error (%)", ylim=(0, None))
    left.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(handles=lines, loc="outside upper center", ncols=len(lines), frameon=False)
    return figure


def weight_histograms(params, names):
    """Histograms of the real weights behind the binary ones, one panel a layer; a Figure.

    params: {name: array}; names: which of them. Weights that are sure of their sign gather at -1 and +1.
    """
    figure = Figure(figsize=(2.6 * len(names), 2.8), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for panel, name in zip(panels, names):
        w = params[name].ravel()
        panel.hist(w, bins=np.linspace(-1, 1, 41), color="tab:blue")
        panel.set(title=f"{name}: {np.mean(np.abs(w) == 1):.0%} at ±1", xlabel="real weight", yticks=[])
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


def save(figure, path):
    """Write a figure as PNG, whole or not at all. Raises OSError."""
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=110)
