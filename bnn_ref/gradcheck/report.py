"""What a check found, as data and as a table: what agreed, how good the differences were, what was left out."""

from dataclasses import dataclass
from functools import wraps
from html import escape

WORST = 5             # rows of the table
observers = []        # called with (Report or AssertionError) at the end of each check; the pytest plugin adds itself


@dataclass(frozen=True)
class Row:
    """One coordinate, or direction."""

    where: str
    analytic: float
    numeric: float
    estimated: float      # what numeric may be off by
    error: float          # relative error


@dataclass(frozen=True)
class Report:
    """What a passed check covered.

    checked: coordinates (or directions) that agree; worst: the largest relative error among them; good_to: the
    largest error of a difference among them, relative to the terms that it sums, as estimated. kinks: names of those
    left out because the slope differs from side to side. coarse: names of those where differences cannot tell, as
    Rows. rows: the worst that agree. note: what was sampled.
    """

    checked: int
    worst: float
    good_to: float = 0.0
    kinks: tuple = ()
    coarse: tuple = ()
    rows: tuple = ()
    note: str = ""

    def lines(self):
        """The findings as sentences."""
        yield (f"{self.checked} agree, worst relative error {self.worst:.1e}, differences good to {self.good_to:.0e}"
               f"{', ' + self.note if self.note else ''}")
        if self.kinks:
            yield f"{len(self.kinks)} left out at a kink: {_some(self.kinks)}"
        if self.coarse:
            worst = max(row.estimated for row in self.coarse)
            yield (f"{len(self.coarse)} neither passed nor refused, too coarse here: differences are good to "
                   f"{worst:.0e}: {_some([row.where for row in self.coarse])}")

    def table(self):
        """The worst coordinates: a heading and rows of text."""
        heading = ("the worst that agree", "analytic", "numeric", "estimated error", "relative error")
        return [heading, *((row.where, f"{row.analytic:.12g}", f"{row.numeric:.12g}", f"{row.estimated:.0e}",
                            f"{row.error:.1e}") for row in self.rows)]

    def __str__(self):
        widths = [max(map(len, column)) for column in zip(*self.table())]
        rows = ["  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])
                for row in self.table()]
        return "\n".join([*self.lines(), *rows])

    def _repr_html_(self):
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self.table())
        return f"<p>{'<br>'.join(map(escape, self.lines()))}</p><table>{rows}</table>"


def observed(check):
    """A check that shows what it returns, or refuses with, to the observers."""
    @wraps(check)
    def watched(*args, **settings):
        try:
            outcome = check(*args, **settings)
        except AssertionError as refusal:
            _tell(refusal)
            raise
        _tell(outcome)
        return outcome
    return watched


def _tell(outcome):
    for observer in observers:
        observer(outcome)


def _some(names):
    return "; ".join(names[:3]) + (f"; and {len(names) - 3} more" if len(names) > 3 else "")
