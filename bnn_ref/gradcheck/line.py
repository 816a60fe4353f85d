"""The slope of a function along a line, how far it may be off, and whether the line has a kink at its start.

No one step suits all: too long, and the curve bends; too short, and the rounding of f is all that is left. So each
slope is measured at steps that follow the function, with an estimate of its error at each, until one is good.
"""

from dataclasses import dataclass, replace

import numpy as np

from .differences import relative_error

EPSILON = 2.0**-52
GOOD = 2.0**-25       # a slope known to this part of itself is good enough, 3e-8
ODD = 2**-0.5         # no step is a power of two: on such a grid even rough functions look straight
STRIDE = 4            # of the search, in powers of two
SURE = 4              # what refutes a gradient lies outside of so many times the estimated error
LASTING = 2.0**8      # of steps that differ by this factor, all see the same gap: then it is none of the curvature
JUMP = 2.0**20        # and outputs that move as far at all of them jump, if it is this many times their last digit


@dataclass(frozen=True)
class Level:
    """What seven points at distances 0, ±h, ±2h and ±4h say about a slope."""

    exponent: float
    h: float
    value: float          # the slope: sixth-order central differences (Richardson), weighted by dout, summed
    error: float          # what it may be off by
    rounding: float       # the part of error that the digits of the outputs explain
    size: float           # the sum of the sizes of its terms |dout f'|
    gap: float            # the slopes of the two sides, each by its own four points, differ by so much
    low: float            # between low and high lie all the slopes that a subgradient may have here
    high: float
    moved: np.ndarray     # which outputs changed at all

    @property
    def known(self):
        """To a digit, at least."""
        return self.error <= self.size / 8

    @property
    def good(self):
        """No need to look further."""
        return self.error <= GOOD * abs(self.value)


@dataclass(frozen=True)
class Slope:
    """The verdict on one line: the slope, what it may be off by, the sum of the sizes of its terms.

    kink: the sides differ, however short the step; a subgradient is anything between low and high.
    """

    value: float
    error: float
    size: float
    kink: bool = False
    low: float = 0.0
    high: float = 0.0


class Line:
    """f along a line: f(h) -> outputs as one flat vector, at a distance of h from where the gradient is asked.

    y: the outputs at 0. dout: what they are weighted with. start, lowest, highest: powers of two, the step to begin
    with and the range of steps. grain: steps are multiples of it, so that points are exact. noise: rounding of the
    outputs that the points themselves bring along, if they are not. Points at which f raises or is not finite are
    outside of its domain: then shorter steps are taken.
    """

    def __init__(self, f, y, dout, start, lowest, highest, grain=0.0, noise=0.0):
        self.f, self.y, self.dout, self.grain, self.noise = f, y, dout, grain, noise
        self.start, self.lowest, self.highest = start, lowest, highest
        self.levels = {}
        self.moved = np.zeros(y.shape, bool)             # outputs that moved at any step
        self.outside = None

    def level(self, exponent):
        """The Level of h near 2^exponent, or None if it is out of range, or its points leave the domain of f."""
        if not self.lowest <= exponent <= self.highest:
            return None
        if exponent not in self.levels:
            self.levels[exponent] = self._measure(exponent)
        return self.levels[exponent]

    def _measure(self, exponent):
        h = ODD * 2.0**exponent
        if self.grain:
            h = self.grain * max(np.round(h / self.grain), 1)
        with np.errstate(all="ignore"):
            try:
                d = {k: self.f(k * h) - self.y for k in (1, -1, 2, -2, 4, -4)}
            except Exception as error:     # whatever f raises; if it does at all steps, it is raised again
                self.outside = error
                return None
            return self._read(exponent, h, d)

    def _read(self, exponent, h, d):
        """A Level from the changes of f at kh."""
        if not all(np.isfinite(change).all() for change in d.values()):
            return None
        moved = np.any([change != 0 for change in d.values()], axis=0)
        self.moved |= moved
        d = {k: change[moved] for k, change in d.items()}
        dout, y = self.dout[moved], np.abs(self.y[moved]) + np.abs(d[4])
        one, two, four = ((d[k] - d[-k]) / (2 * k * h) for k in (1, 2, 4))
        finer, coarser = (4 * one - two) / 3, (4 * two - four) / 3
        slope, correction = dout * (16 * finer - coarser) / 15, dout * (finer - coarser)
        right = dout * (32 * d[1] - 12 * d[2] + d[4]) / (12 * h)
        left = -dout * (32 * d[-1] - 12 * d[-2] + d[-4]) / (12 * h)
        # Nothing of a slope is in the even part of f: its sixth difference is noise, or a kink among the points.
        once, twice, fourfold = (d[k] + d[-k] for k in (1, 2, 4))
        noise = dout * (64 * once - 20 * twice + fourfold) / (128 * h)
        rounding = (EPSILON * _norm(dout * y) + self.noise) / h
        gap = _size(right - left)
        error = max(_size(correction), _size(noise)) + rounding
        return Level(exponent, h, float(np.sum(slope)), error, rounding, float(np.sum(np.abs(slope))), gap,
                     float(np.sum(np.minimum(left, right))), float(np.sum(np.maximum(left, right))), moved)

    def slope(self):
        """Search for a step at which the slope is good. Returns a Slope. Raises what f raises at all points."""
        first = self.level(self.start)
        if first is None or not first.good:
            down = first is None or first.error > 2 * first.rounding
            if not any(map(self._walk, (-STRIDE, STRIDE) if down else (STRIDE, -STRIDE))):
                for around in (2, -2, 1, -1):
                    if best := self._best():
                        self.level(best[0].exponent + around)
        return self.verdict()

    def _walk(self, direction):
        """Steps further and further from the first one, while that may help. Returns whether one is good."""
        exponent, before = self.start, self.level(self.start)
        while self.lowest <= (exponent := exponent + direction) <= self.highest:
            level = self.level(exponent)
            if level is not None:
                if level.good:
                    return True
                if direction < 0 and (level.rounding > level.size or (
                        before is not None and before.known and level.error > 2 * before.error)):
                    break
                if direction > 0 and before is not None and level.error > before.error / 2:
                    break
            elif direction > 0:
                break
            before = level
        return False

    def _best(self):
        """The level to believe, and what its slope may be off by; None if there is none.

        The estimates at one step are samples, and small at times by chance. Rounding is of one size at all steps, so
        a level takes over the worst that shorter steps show: in their own estimates, or in a slope that a longer
        step, which knows at least a digit, contradicts. But a longer step that a shorter one contradicts outright
        has jumped over what f does here.
        """
        found = sorted((level for level in self.levels.values() if level is not None), key=lambda level: level.h)
        errors, known, noise = {}, [], 0.0
        for level in found:
            contradicted = max((abs(level.value - longer.value) - longer.error for longer in found
                                if longer.h > level.h and longer.known), default=0.0)
            noise = max(noise, level.h * max(level.error, contradicted))
            errors[level.h] = noise / level.h + self._hidden(level)
            if level.known and not any(abs(level.value - shorter.value) > max(abs(level.value), abs(shorter.value)) / 2
                                       for shorter in known if shorter.size):
                known.append(level)
        return min(((level, errors[level.h]) for level in known or found), key=lambda pair: pair[1], default=None)

    def _hidden(self, level):
        """What outputs that move at other steps and not at this one may do below their last digit."""
        later = self.moved & ~level.moved
        return float(np.sum(np.abs(self.dout[later]) * np.spacing(np.abs(self.y[later])))) / (8 * level.h)

    def verdict(self):
        """What the levels measured so far say together."""
        best = self._best()
        if best is None:
            if self.outside is not None:
                raise self.outside
            return Slope(np.nan, np.inf, 0.0, True, -np.inf, np.inf)            # the edge of its domain
        level, error = best
        found = sorted((other for other in self.levels.values() if other is not None), key=lambda other: other.h)
        alike = [other for other in found if level.gap / 2 <= other.gap <= 2 * level.gap]
        if level.gap > 0 and not level.good and LASTING * alike[0].h <= alike[-1].h:
            return _kink(alike)
        first = found[0]
        if not level.known and LASTING * first.h <= level.h and first.size > JUMP * first.rounding and \
                first.size * first.h > level.size * level.h / 4:
            return _kink(found)
        return Slope(level.value, error, level.size)

    def confirmed(self):
        """The same again, for a slope that seems to refute a gradient: with several steps, which all have a say."""
        found = self.slope()
        if not found.kink:
            middle = self._best()[0].exponent
            for around in (-2.7, -1.6, -0.4, 0.7, 1.5):  # powers of two would share their points
                self.level(middle + around)
            if self.start < self.highest:                # which outputs move at all, if not by how much
                for far in (8, 16, 24):
                    self._measure(self.start + far)
            found = self.verdict()
        return replace(found, error=SURE * found.error)


def _kink(levels):
    """A kink, its sides as a step in the middle of those that see it measures them, and how well."""
    other, middle = levels[len(levels) // 2 - 1:][:2]
    return Slope(middle.value, 8 * middle.rounding + max(abs(middle.low - other.low), abs(middle.high - other.high)),
                 middle.size, True, middle.low, middle.high)


def _norm(array):
    return float(np.sqrt(np.sum(array**2)))


def _size(terms):
    """Of a sum of terms that go with each other, or of one whose signs are those of chance, whichever is larger."""
    return max(abs(float(np.sum(terms))), _norm(terms))


def typical(array):
    """The size of an array's entries: the median of those that are not zero; 1 where all are."""
    sizes = np.abs(array[array != 0])
    return float(np.median(sizes)) if sizes.size else 1.0


def exponent(size):
    """The power of two below a size."""
    return int(np.floor(np.log2(size)))


def error_of(analytic, slope, tolerance):
    """Relative error of a gradient. What differences cannot tell at this tolerance is none; nor is a subgradient."""
    if slope.kink:
        slack = slope.error + tolerance * max(abs(slope.low), abs(slope.high))
        return 0.0 if slope.low - slack <= analytic <= slope.high + slack else np.inf
    tiny = np.finfo(float).tiny
    with np.errstate(invalid="ignore", over="ignore"):
        return float(relative_error(analytic, slope.value, max(slope.error / max(tolerance, tiny), tiny)))
