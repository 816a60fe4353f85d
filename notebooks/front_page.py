"""What the README shows of other pages, as `python notebooks/front_page.py` writes it: two tables of five rows.

With `--picture` it trains for some minutes before, and draws the picture of the first screen anew: from three runs of
the command line's recipes on the digits, made in memory. The picture keeps their numbers, as JSON.
"""

import json
import math
import re
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))                  # the package that stands here, not one that is installed

from bnn_ref import data  # noqa: E402
from bnn_ref.cli import markdown  # noqa: E402
from bnn_ref.kernels import bits  # noqa: E402
from bnn_ref.nets import recipe  # noqa: E402
from bnn_ref.papers import PAPERS, measured  # noqa: E402
from bnn_ref.training import loop  # noqa: E402

README, PICTURE, SPEED = HERE.parent / "README.md", HERE / "front_page.svg", HERE / "speed.md"
RUNS = {"float": ("float", "real"), "BNN": ("bnn", "deterministic"),
        "BinaryConnect": ("binaryconnect", "deterministic")}
LAYER, CLASSES, EPOCHS = "fc1.w", 32, (0, 5, 20, 120)      # whose weights, in how many classes, after which epochs


# --- the numbers of the picture ------------------------------------------------------------------------------------


def run(paper, variant, dataset, epochs=None):
    """What `bnn-ref train PAPER --variant VARIANT` does on the digits with seed 0, as numbers that JSON has.

    epochs: to stop after, None for all. Returns {"command", "valid_error": percent before training and after each
    epoch, "test_error", "weights": {epoch: share of each class between -1 and 1} of LAYER}.
    """
    module = PAPERS[paper]
    chosen = recipe.choose(module.RECIPES, "digits", "mlp", "quick", variant)
    net = recipe.build(chosen, dataset.shape, dataset.classes, module.VOCABULARIES[variant])
    state = loop.start(net, chosen, seed=0)
    errors = [loop.error_rate(net, state.params, state.running, dataset.valid_x, dataset.valid_y)]
    weights = {"0": _shares(state.params[LAYER])}
    for after in loop.train(net, chosen, dataset, state, seed=0):
        state = after
        errors.append(state.history[-1]["valid_error"])
        if state.epoch in EPOCHS:
            weights[str(state.epoch)] = _shares(state.params[LAYER])
        if state.epoch == epochs:
            break
    error = loop.error_rate(net, state.best_params, state.best_running, dataset.test_x, dataset.test_y)
    return {"command": f"bnn-ref train {paper} --variant {variant}", "test_error": round(error, 2), "weights": weights,
            "valid_error": [round(error, 2) for error in errors]}


def _shares(weights):
    counts, _ = np.histogram(weights, CLASSES, (-1, 1))
    return [round(share, 4) for share in (counts / counts.sum()).tolist()]


def numbers(epochs=None):
    """All that the picture shows: the runs by name, and the first digit, as pixels and as a word."""
    dataset = data.load("digits")
    digit = dataset.train_x[0]
    (word,) = bits.pack(loop.scale_pixels(digit).reshape(-1))
    return {"runs": {name: run(*chosen, dataset, epochs) for name, chosen in RUNS.items()},
            "digit": {"pixels": digit[0].tolist(), "word": f"0x{int(word):016x}"}}


# --- the picture ---------------------------------------------------------------------------------------------------

WIDTH, HEIGHT, PANEL, TOP, BOTTOM = 840, 290, 248, 28, 208         # of all; of a panel: its width, and where it lies
STYLE = """
text { font-family: system-ui, sans-serif; font-size: 19px; fill: #57606a }
.title { font-size: 22px; font-weight: bold; fill: #1f2328 }
.card { fill: #ffffff; stroke: #d0d7de }
.axis { stroke: #8c959f; fill: none }
.real { stroke: #8c959f; fill: none; stroke-width: 2 }
.binary { stroke: #c2410c; fill: none; stroke-width: 2.5 }
.strong { fill: #c2410c }
.ink { fill: #1f2328 }
.faint { fill: #ffedd5 }
@media (prefers-color-scheme: dark) {
  text { fill: #adbac7 }
  .title, .ink { fill: #f0f6fc }
  .card { fill: #161b22; stroke: #30363d }
  .axis, .real { stroke: #768390 }
  .binary { stroke: #fb923c }
  .strong { fill: #fb923c }
  .faint { fill: #3d2a1c }
}
"""


def _text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{words}</text>'


def _curves(runs):
    """Validation error before training and after each epoch, in full precision and with signs."""
    left, shown = 56, [(name, kind, runs[name]) for name, kind in (("float", "real"), ("BNN", "binary"))]
    step = (PANEL - left) / max(len(run["valid_error"]) - 1 for _, _, run in shown)

    def height(error):                                             # from 0.5 to 100 percent, logarithmic
        return BOTTOM - (BOTTOM - TOP) * math.log(max(error, 0.5) / 0.5) / math.log(200)

    parts = [_text(0, 0, "Signs learn", "title"), f'<path class="axis" d="M{left},{TOP} V{BOTTOM} H{PANEL}"/>',
             _text(left, BOTTOM + 26, "validation error")]
    parts += [_text(left - 6, height(error) + 7, f"{error}%", anchor="end") for error in (100, 10, 1)]
    for line, (name, kind, run) in enumerate(shown):
        points = " ".join(f"{left + step * epoch:.1f},{height(error):.1f}"
                          for epoch, error in enumerate(run["valid_error"]))
        parts.append(f'<polyline class="{kind}" points="{points}"/>')
        parts.append(_text(PANEL, TOP + 12 + 25 * line, f"{name}: test {run['test_error']:.1f} %",
                           "strong" if kind == "binary" else "", "end"))
    return parts


def _drift(weights):
    """Histograms of the real weights behind binary ones, one below the other."""
    left, high = 72, (BOTTOM - TOP) / len(weights)
    width, largest = (PANEL - left) / CLASSES, max(map(max, weights.values()))
    parts = [_text(0, 0, "Weights go to ±1", "title")]
    for place, (epoch, shares) in enumerate(weights.items(), start=1):
        ground = TOP + high * place
        outline = "".join(f"V{ground - (high - 6) * share / largest:.1f} h{width:g} " for share in shares)
        parts += [f'<path class="strong" d="M{left},{ground:g} {outline}V{ground:g} z"/>',
                  f'<path class="axis" d="M{left},{ground:g} H{PANEL}"/>',
                  _text(left - 10, ground - 4, epoch, anchor="end")]
    return [*parts, _text(0, BOTTOM + 26, "epoch"), _text(left + 6, BOTTOM + 26, "−1", anchor="middle"),
            _text((left + PANEL) / 2, BOTTOM + 26, "0", anchor="middle"), _text(PANEL, BOTTOM + 26, "+1", anchor="end")]


def _word(digit):
    """The digit in grey, and as signs; below, the word."""
    side, right, above = 13, PANEL - 8 * 13, TOP + 16
    parts = [_text(0, 0, "A digit is a word", "title"),
             f'<path d="M0,{above} h{8 * side} v{8 * side} h-{8 * side} z" class="axis"/>']
    for row, pixels in enumerate(digit["pixels"]):
        for column, pixel in enumerate(pixels):
            x, y = side * column, above + side * row
            sign = "strong" if 2 * pixel >= 255 else "faint"
            parts += [f'<path d="M{x},{y} h{side} v{side} h-{side} z" class="ink" fill-opacity="{pixel / 255:.2f}"/>',
                      f'<path d="M{right + x},{y} h{side - 1} v{side - 1} h-{side - 1} z" class="{sign}"/>']
    below = above + 8 * side + 27
    return [*parts, _text(PANEL / 2, above + 4 * side + 6, "→", "title", "middle"), _text(0, below, "64 pixels"),
            _text(right, below, "64 signs", "strong"), _text(PANEL / 2, BOTTOM + 26, digit["word"], "strong", "middle")]


def picture(found):
    """The picture of these numbers, as SVG that holds them too; its colours follow the reader's, light or dark."""
    panels = _curves(found["runs"]), _drift(found["runs"]["BinaryConnect"]["weights"]), _word(found["digit"])
    gap = (WIDTH - 3 * PANEL) / 4
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
             f"<metadata>{json.dumps(found, ensure_ascii=False)}</metadata>", f"<style>{STYLE}</style>",
             f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="10"/>']
    for place, parts in enumerate(panels):
        lines += [f'<g transform="translate({gap + place * (PANEL + gap):g},38)">', *parts, "</g>"]
    return "\n".join([*lines, "</svg>"]) + "\n"


def drawn(path=PICTURE):
    """The numbers that a picture was drawn from."""
    return json.loads(re.search("<metadata>(.*?)</metadata>", path.read_text(encoding="utf-8"))[1])


# --- the tables ----------------------------------------------------------------------------------------------------


def _table(page, part, first):
    """The rows, as {head: cell}, of the Markdown table that begins with this head in this part of a page."""
    text = re.search(rf"<!-- {part} -->\n(.*?)<!-- /{part} -->", page, re.S)[1]
    head, _, *lines = re.search(rf"^\| {re.escape(first)} \|(?:.*\n\|)+.*$", text, re.M)[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (head, *lines)]
    return [dict(zip(cells[0], row)) for row in cells[1:]]


def speed(page):
    """From the tables of the page of timings, on one core: five rows of Markdown."""
    def row(part, first, name, threads="1"):
        return next(cells for cells in _table(page, part, first)
                    if cells[first] == name and cells.get("threads", threads) == threads)

    products = [cells for cells in _table(page, "bench matmul", "rung") if cells["threads"] == "1"]
    size = [head for head in products[0] if head.endswith("³")][-1]
    best = max((cells for cells in products if cells[size] and cells["what changes"]),
               key=lambda cells: float(cells[size].split()[0]))
    step = row("bench train", "net", "`1024FC-1024FC-1024FC`")["of PyTorch eager, fused Adam"]
    return _markdown(("on one core", "beside", "times faster"), [
        (f"product of ±1, {size}, rung {best['rung']}", "NumPy float32", best[size]),
        ("one row times 4096 × 4096 weights", "NumPy float32", row("bench matmul", "rows of a", "1")["`rows`"]),
        ("10,000 pictures, MLP of 3 × 4096 units", "NumPy float32",
         row("bench mlp", "what", "10,000 pictures at once")["times faster"]),
        ("100 pictures, ConvNet of 6 convolutions, 128 to 512 maps", "NumPy float32",
         row("bench convnet", "what", "100 pictures at once")["times faster"]),
        ("a training step, 3 × 1024 units", "PyTorch eager, fused Adam", f"{1 / float(step):.1f} ×")])


def _markdown(head, lines):
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])


def tables():
    """{marker: Markdown} of the README's generated parts."""
    return {"results": measured.short_table(), "speed": speed(SPEED.read_text(encoding="utf-8"))}


def main(argv):
    if argv == ["--picture"]:
        PICTURE.write_text(picture(numbers()), encoding="utf-8", newline="\n")
    for marker, text in tables().items():
        markdown.write_part(README, marker, text)


if __name__ == "__main__":
    main(sys.argv[1:])
