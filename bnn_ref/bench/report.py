"""What people read of a timing: Markdown tables, ratios by which kernels are judged, bars for a picture.

All of it comes from one run's medians, as `contests.py` returns them.
"""

import json
import re

from ..files import atomic_write
from ..kernels import limit
from ..kernels.ladder import LADDER, WITH_PLANES
from .contests import BLAS
from .timing import on

BESIDE = ("pack", "copy of its input")                                 # timed with the products, but none


def _median(rows, /, **wanted):
    """The median of the row that has these values, None where there is none."""
    found = [row["median"] for row in rows if all(row.get(key) == value for key, value in wanted.items())]
    return found[0] if found else None


def _times(slow, fast):
    return f"{slow / fast:.1f} ×" if slow and fast else ""


def _markdown(head, lines):
    return "\n".join(["| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines]])


def _limits(rows, size):
    """{name of a register limit: seconds} at that size."""
    found = {row["name"].removeprefix(limit.LABEL): row["median"] for row in rows
             if row["size"] == size and row["name"].startswith(limit.LABEL)}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _share(rows, size, threads, name, rung):
    """Of which register limit a contender is how much: a rung of its own, others of the fastest."""
    limits = _limits(rows, size)
    own = rung.limit if rung and rung.limit in limits else next(iter(limits))
    return f"{100 * limits[own] / (threads * _median(rows, size=size, threads=threads, name=name)):.0f} % ({own})"


def _matmul_tables(result):
    rows = result["rows"]
    sizes = sorted({row["size"] for row in rows})
    names = {(row["threads"], row["name"]): None for row in rows}
    by_name = {candidate.name: candidate for candidate in LADDER}
    lines = []
    for threads, name in names:
        if name in (*BESIDE, BLAS):
            continue
        times = [_times(_median(rows, size=size, threads=threads, name=BLAS),
                        _median(rows, size=size, threads=threads, name=name)) for size in sizes]
        rung = by_name.get(name)
        share = [_share(rows, size, threads, name, rung) for size in sizes if _median(rows, size=size, threads=threads,
                                                                                      name=name)][-1]
        lines.append([f"`{name}`" if rung else name, str(threads), *times, share, rung.change if rung else ""])
    table = _markdown(["rung", "threads", *(f"{size}³" for size in sizes), "of its register limit", "what changes"],
                      lines)
    few = result["few_rows"]
    names = [name for name in WITH_PLANES if _median(few, name=name)]
    few_lines = [[str(m), *(_times(_median(few, rows=m, name=BLAS), _median(few, rows=m, name=name))
                            for name in names)] for m in sorted({row["rows"] for row in few})]
    return ["Times NumPy's float32 BLAS on as many threads, packing of b into panels included:", table,
            f"One row of a, and a few, against {result['side']} × {result['side']} weights, times NumPy's BLAS:",
            _markdown(["rows of a", *(f"`{name}`" for name in names)], few_lines)]


def _inference_tables(result):
    lines = []
    for threads in sorted({row["threads"] for row in result["rows"]}):
        for how in ("at once", "one at a time"):
            of = {"threads": threads, "how": how}
            pictures = next(row["pictures"] for row in result["rows"] if row["how"] == how)
            lines.append([f"{pictures:,} pictures {how}", str(threads), _times(
                _median(result["rows"], name="floats", **of), _median(result["rows"], name="bits", **of))])
    smaller = result["float32_bytes"] / result["packed_bytes"]
    return [f"`{result['net']}`, from pixels to logits, bits against NumPy float32; the logits equal bit for bit; "
            f"the file on bits is {smaller:.1f} times smaller than the float32 parameters:",
            _markdown(["what", "threads", "times faster"], lines)]


def _training_tables(result):
    rows, rivals, lines = result["rows"], _rivals(result), []
    for kind, net in result["nets"].items():
        for threads in sorted({row["threads"] for row in rows}):
            own, *others = (_median(rows, net=kind, threads=threads, name=name) for name in ("fast", *rivals))
            lines.append([f"`{net}`", str(threads), *(f"{own / other:.2f}" for other in others)])
    return ["Time of a training step on 100 pictures, the fast one's as a share of others' (less than 1 is faster); it "
            "writes the bytes of the readable one:",
            _markdown(["net", "threads", *(f"of {name}" for name in rivals)], lines)]


def _rivals(result):
    return list(dict.fromkeys(row["name"] for row in result["rows"] if row["name"] != "fast"))


TABLES = {"matmul": _matmul_tables, "mlp": _inference_tables, "convnet": _inference_tables, "train": _training_tables}


def figures(result):
    """[(what, ratio)]: the ratios of `bench matmul` by which kernels are judged; none of the others, whose tables are
    such ratios already."""
    return _matmul_figures(result["rows"]) if result["bench"] == "matmul" else []


def _matmul_figures(rows):
    sizes, counts = (sorted({row[key] for row in rows}) for key in ("size", "threads"))
    found = []

    def of(name, size, threads=1):
        return _median(rows, size=size, threads=threads, name=name)

    rungs = [candidate.name for candidate in LADDER if all(of(candidate.name, size, threads)
                                                           for size in sizes for threads in counts)]
    best = min(rungs, key=lambda name: of(name, sizes[-1]))
    for size in sizes:
        least = min(of(candidate.name, size) for candidate in LADDER if of(candidate.name, size))
        found += [(f"{size}³: {limit.LABEL}{name} / best rung, 1 thread", seconds / least)
                  for name, seconds in _limits(rows, size).items()]
        for rival in (BLAS, "PyTorch int8", "PyTorch bfloat16", "PyTorch float32"):
            found += [(f"{size}³: {rival} / {best}, {on(threads)}",
                       of(rival, size, threads) / of(best, size, threads))
                      for threads in counts if of(rival, size, threads)]
        found += [(f"{size}³: {best}, 1 thread / {on(threads)}", of(best, size) / of(best, size, threads))
                  for threads in counts[1:]]
        found += [(f"{size}³: {other} / {best}, 1 thread", of(other, size) / of(best, size))
                  for other in rungs if other != best]
        found += [(f"{size}³: pack / copy of its float32 input", of("pack", size) / of("copy of its input", size)),
                  (f"{size}³: rate of {best} / its rate at the smallest size",
                   (size / sizes[0])**3 * of(best, sizes[0]) / of(best, size))]
    return found


def tables(result):
    """What a run measured, as Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    source = f"*{result['machine']}, {result['cores']} cores; {versions}; {result['date']}; `bnn-ref bench " \
             f"{result['bench']}`*"
    return "\n\n".join([source, *TABLES[result["bench"]](result)])


def beside_others(page, result):
    """The tables of a page, those of this machine anew: in place of older ones, or behind those of other machines."""
    own = tables(result)
    parts = [part for part in re.split(r"\n\n(?=\*[^\n]+, \d+ cores; )", page) if part]
    machine = f"*{result['machine']}, {result['cores']} cores; "
    if not any(part.startswith(machine) for part in parts):
        parts.append(machine)
    return "\n\n".join(own if part.startswith(machine) else part for part in parts)


def save_json(path, result):
    """The whole result, every sample of every contender. Raises OSError."""
    with atomic_write(path) as file:
        file.write((json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())


def bars(result):
    """(title, [(label, times faster than the rival of the title, whether it is ours)]) of a run, for its picture."""
    return BARS[result["bench"]](result)


def _matmul_bars(result):
    """Of the largest size at which all rungs were timed."""
    rows = result["rows"]
    size = max(row["size"] for row in rows if row["name"] == "loops")
    ours = [candidate.name for candidate in LADDER]
    return f"{size}³ product of ±1, times NumPy's float32 BLAS on as many threads", [
        (f"{row['name']}, {on(row['threads'])}",
         _median(rows, size=size, threads=row["threads"], name=BLAS) / row["median"], row["name"] in ours)
        for row in rows if row["size"] == size and row["name"] not in BESIDE]


def _inference_bars(result):
    rows = result["rows"]
    return f"{result['net']} on bits, times NumPy float32", [
        (f"{row['how']}, {on(row['threads'])}",
         _median(rows, how=row["how"], threads=row["threads"], name="floats") / row["median"], True)
        for row in rows if row["name"] == "bits"]


def _training_bars(result):
    rows = result["rows"]
    return "training step, times the readable one", [
        (f"{row['net']}, {on(row['threads'])}: {row['name']}",
         _median(rows, net=row["net"], threads=row["threads"], name="readable") / row["median"],
         row["name"] in ("readable", "fast")) for row in rows]


BARS = {"matmul": _matmul_bars, "mlp": _inference_bars, "convnet": _inference_bars, "train": _training_bars}
