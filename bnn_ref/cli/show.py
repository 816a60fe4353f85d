"""The commands that show: bench, gradcheck, papers."""

import sys
from pathlib import Path

from ..papers import PAPERS, measured, published
from . import markdown
from .options import UsageError, save_picture
from .terminal import say, write


def show_bench(options):
    """Verify and time the kernels, print and draw the result. Returns the exit code."""
    from ..bench import contests, report
    from . import plots

    def tick(text):
        if sys.stderr.isatty():
            write(f"\r\x1b[K{text}", sys.stderr)
        elif text:
            write(f"{text}\n", sys.stderr)            # to a file: a line for each

    try:
        page = markdown.read_part(options.readme, f"bench {options.what}") if options.readme else None
        result = contests.BENCHES[options.what](tick, options.thorough)
    except ValueError as error:
        raise UsageError(error) from None
    tick("")
    say(report.tables(result))
    for what, ratio in report.figures(result):
        say(f"{what}: {ratio:.2f}")
    save_picture(plots.bars(*report.bars(result)), options.picture)
    if options.json:
        report.save_json(options.json, result)
    if options.readme:
        markdown.write_part(options.readme, f"bench {options.what}", report.beside_others(page, result))
    return 0


def bench_picture(options):
    """Where the picture goes that `show_bench` draws, unless --picture says it."""
    return options.json.with_suffix(".png") if options.json else Path(f"bench-{options.what}.png")


def show_gradcheck(options):
    """Verify every backward pass numerically. Returns the exit code: 1 where one is wrong."""
    from .. import derivatives

    failures = 0
    say(f"{'operation':<40}{'its backward is':<44}{'checked':>8}{'worst error':>13}")
    for case in derivatives.CASES:
        try:
            checked = case.check()
            say(f"{case.name:<40}{case.claim:<44}{checked.checked:>8}{checked.worst:>13.1e}", flush=True)
        except AssertionError as error:
            failures += 1
            say(f"{case.name:<40}{case.claim:<44}  FAILED: {' '.join(str(error).split())}", flush=True)
    say(f"{len(derivatives.CASES) - failures} of {len(derivatives.CASES)} agree with finite differences in float64")
    return 1 if failures else 0


def show_papers(options):
    """Print the papers, their recipes, published and measured errors. Returns the exit code."""
    for name, module in PAPERS.items():
        say(f"{name}: {module.TITLE}\n  {module.SOURCE}")
        for line in _published(name):
            say(f"  published test error, percent: {line}")
        say(f"  variants: {', '.join(module.VOCABULARIES)}")
        for variant, forms in module.FORMS.items():
            say(f"  at test time {variant} also has: {', '.join(forms)}")
        for key, chosen in module.RECIPES.items():
            first, last = chosen.lr
            say(f"  {' '.join(key)}: {chosen.net}, {chosen.epochs} epochs of batch {chosen.batch}, "
                f"{chosen.optimizer.name} {first:g} -> {last:g}")
        for row in measured.rows(name):
            say(f"  measured here: {_measured(row)}")
        say()
    if options.picture:
        from . import plots

        save_picture(plots.against_published(measured.chart()), options.picture)
    return 0


def _published(paper):
    """A line for each variant, form and source of a paper's figures."""
    lines = {}
    for figure in published.FIGURES:
        if figure.paper == paper:
            system = f"{figure.variant}, {figure.form}" if figure.form else figure.variant
            lines.setdefault((system, figure.source), []).append(f"{published.DATA[figure.data]} {figure}")
    return [f"{system}: {', '.join(figures)} ({source})" for (system, source), figures in lines.items()]


def _measured(row):
    figure = measured.figure_of(row)
    beside = f", published {figure} %" if figure else ""
    beside += "" if measured.gap(row) is None else f" ({measured.difference(row)})"
    return (f"{measured.system(row)} on {measured.trained_on(row)}: {measured.summary(row)}{beside}; "
            f"{measured.recipe(row)}, {measured.duration(row)}; {row['date']}: {row['command']}")
