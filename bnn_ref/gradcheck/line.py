"""The slope of a function along a line, how far it may be off, and whether the line has a kink at its start.

No one step suits all: too long, and the curve bends; too short, and the rounding of f is all that is left. So each
slope is measured at steps that follow the function, with an estimate of its error at each, until one is good.
"""

from dataclasses import dataclass

import numpy as np

EPSILON = 2.0**-52
GOOD = 1e-7           # a slope known to this, relative to the terms it sums, is good enough
STRIDE = 4            # of the search, in powers of two
BLIND = 8             # a gap between two sides is one only if it is this many times what errors explain


@dataclass(frozen=True)
class Level:
    """What seven points at distances 0, ±h, ±2h and ±4h say about a slope."""

    h: float
    value: float          # the slope: sixth-order central differences (Richardson), weighted by dout, summed
    error: float          # what it may be off by: the last correction of Richardson's, and the rounding of f
    rounding: float       # the part of error that is rounding
    size: float           # the sum of the sizes of its terms |dout f'|
    gap: float            # the slopes of the two sides, each by its own four points, differ by so much
    low: float            # between low and high lie all the slopes that a subgradient may have here
    high: float
    moved: np.ndarray     # which outputs changed at all

    @property
    def clean(self):
        """No kink among its points, as far as it can see."""
        return self.gap <= GOOD * self.size + BLIND * self.error


@dataclass(frozen=True)
class Slope:
    """The verdict on one line. kind: "smooth", "kink", or "blurred": no step at which its value could be trusted."""

    kind: str
    value: float
    error: float
    size: float
    low: float = 0.0
    high: float = 0.0


class Line:
    """f along a line: f(h) -> outputs as one flat vector, at a distance of h from where the gradient is asked.

    y: the outputs at 0. dout: what they are weighted with. start, lowest, highest: powers of two, the step to begin
    with and the range of steps. noise: rounding of the outputs that the points themselves bring along, if they are
    not exact. Points at which f raises or is not finite are outside of its domain: then shorter steps are taken.
    """

    def __init__(self, f, y, dout, start, lowest, highest, noise=0.0):
        self.f, self.y, self.dout, self.noise = f, y, dout, noise
        self.start, self.lowest, self.highest = start, lowest, highest
        self.levels = {}
        self.outside = None

    def level(self, exponent):
        """The Level of h = 2^exponent, or None if it is out of range, or its points leave the domain of f."""
        if not self.lowest <= exponent <= self.highest:
            return None
        if exponent not in self.levels:
            self.levels[exponent] = self._measure(2.0**exponent)
        return self.levels[exponent]

    def _measure(self, h):
        try:
            with np.errstate(all="ignore"):
                d = {k: self.f(k * h) - self.y for k in (1, -1, 2, -2, 4, -4)}
        except Exception as error:     # whatever the caller's function raises; if it always does, it is raised again
            self.outside = error
            return None
        if not all(np.isfinite(change).all() for change in d.values()):
            return None
        moved = np.any([change != 0 for change in d.values()], axis=0)
        d = {k: change[moved] for k, change in d.items()}
        dout, y = self.dout[moved], np.abs(self.y[moved]) + np.abs(d[4])
        one, two, four = ((d[k] - d[-k]) / (2 * k * h) for k in (1, 2, 4))
        finer, coarser = (4 * one - two) / 3, (4 * two - four) / 3
        slope, correction = dout * (16 * finer - coarser) / 15, dout * (finer - coarser)
        right = dout * (32 * d[1] - 12 * d[2] + d[4]) / (12 * h)
        left = -dout * (32 * d[-1] - 12 * d[-2] + d[-4]) / (12 * h)
        rounding = (2 * EPSILON * np.sqrt(np.sum((dout * y)**2)) + self.noise) / h
        gaps = np.maximum(np.abs(right - left) - 16 * EPSILON * np.abs(dout) * y / h, 0)
        return Level(h, float(np.sum(slope)),
                     max(abs(float(np.sum(correction))), float(np.sqrt(np.sum(correction**2)))) + rounding, rounding,
                     float(np.sum(np.abs(slope))), float(np.sum(gaps)), float(np.sum(np.minimum(left, right))),
                     float(np.sum(np.maximum(left, right))), moved)

    def slope(self):
        """Search for a step at which the slope is good. Returns a Slope. Raises what f raises at all points."""
        first = self.level(self.start)
        if not _good(first):
            down = first is None or not first.clean or first.error > 2 * first.rounding
            for direction in (-STRIDE, STRIDE) if down else (STRIDE, -STRIDE):
                if self._walk(direction):
                    break
            else:
                best = self._best()
                if best is not None:
                    for around in (2, -2):
                        self.level(np.log2(best.h) + around)
        return self.verdict()

    def _walk(self, direction):
        """Steps further and further from the first one, while they get better. Returns whether one is good."""
        exponent, before = self.start, self.level(self.start)
        while self.lowest <= (exponent := exponent + direction) <= self.highest:
            level = self.level(exponent)
            if _good(level):
                return True
            seen = level is not None and level.clean
            if seen and before is not None and before.clean and level.error >= before.error:
                break
            if direction > 0 and not seen:
                break
            before = level
        return False

    def _clear(self):
        """The levels that are clean, and fine enough to have seen any kink that a longer step ran into."""
        found = [level for level in self.levels.values() if level is not None]
        return [level for level in found if level.clean and not any(
            other.h > level.h and not other.clean and BLIND * level.error > other.gap for other in found)]

    def _best(self):
        return min(self._clear(), key=lambda level: level.error, default=None)

    def verdict(self):
        """What the levels measured so far say together."""
        best = self._best()
        if best is not None:
            return Slope("smooth", best.value, best.error, best.size)
        dirty = sorted((level for level in self.levels.values() if level is not None and not level.clean),
                       key=lambda level: level.h)
        if not dirty:
            if self.outside is not None:
                raise self.outside
            return Slope("kink", np.nan, np.inf, 0.0, -np.inf, np.inf)      # the edge of its domain
        nearest = dirty[0]
        if len(dirty) > 1 and nearest.gap >= dirty[1].gap / 2:
            return Slope("kink", nearest.value, nearest.error, nearest.size, nearest.low, nearest.high)
        return Slope("blurred", nearest.value, nearest.error + nearest.gap, nearest.size)

    def confirmed(self):
        """The same again, for a slope that seems to refute a gradient: with several steps, which all have a say.

        Rounding at one step is a single sample, and can look small by chance; and an output that does not move at
        a short step may move by less than its last digit.
        """
        found = self.slope()
        best = self._best()
        if best is None:
            return found
        for around in (1, -1, 2, -2, 3):
            self.level(np.log2(best.h) + around)
        for far in (8, 16, 24):
            self.level(self.start + far)
        best = self._best()
        spread = max(abs(level.value - best.value) * min(1, level.h / best.h) for level in self._clear()
                     if level.error <= 64 * best.error)
        later = np.any([level.moved for level in self.levels.values() if level is not None], axis=0) & ~best.moved
        hidden = np.sum(np.abs(self.dout[later]) * np.spacing(np.abs(self.y[later]))) / (8 * best.h)
        return Slope("smooth", best.value, float(best.error + 2 * spread + hidden), best.size)


def _good(level):
    return level is not None and level.clean and level.error <= GOOD / 4 * abs(level.value)


def typical(array):
    """The size of an array's entries: the median of those that are not zero; 1 where all are."""
    sizes = np.abs(array[array != 0])
    return float(np.median(sizes)) if sizes.size else 1.0


def exponent(size):
    """The power of two below a size."""
    return int(np.floor(np.log2(size)))
