"""The check of one operation: every coordinate of every argument that has a gradient."""

import numpy as np

from ..ops.checks import came, check_number, check_whole, is_plain
from .line import EPSILON, ODD, Line, Slope, error_of, exponent, typical
from .pair import Pair
from .report import WORST, Report, Row, observed

TOLERANCE = 1e-7
BEHAVIOUR = ("purity", "linearity", "adjoint")
ESTIMATOR = "forward is constant here: is this an estimator? pass surrogate= (lesson 5)"


@observed
def check_op(forward, backward, *args, surrogate=None, seed=0, tolerance=TOLERANCE, step=None, only=None, sample=None,
             complex_step=False, dtype=None, kinks="skip", skip=()):
    """Check a backward pass against differences of its forward, with a random upstream gradient.

    forward(*args) -> (out, cache), more results after the cache are ignored; out: a float64 array, a number, or a
    tuple of them. backward(dout, cache) -> the gradients of the first arguments, in order (one bare array for one;
    None for an argument without derivative); dout has the form of out. Arguments with a gradient must be float64
    arrays or floats; those after them (noise, strides) are passed on as they are.

    surrogate: for an estimator: surrogate(*args) -> a function like forward, whose exact derivative the backward
    claims to be at args; that it has forward's value there is checked too.
    seed: of the upstream gradient, and of what is drawn for the other checks.
    tolerance: a relative error up to this is none.
    step: one distance for all differences, where you know it better: by default it follows size and curvature.
    only: position of an argument, or a tuple of them, to look at; the others may be slow, or not written yet.
    sample: at most so many coordinates of each argument, at random, for arrays of millions.
    complex_step: differences along i, without any rounding error, where forward allows complex numbers. It sees no
    kinks; its points are not real.
    dtype: np.float64 converts the arguments that are float arrays: how to check a layer that you use in float32.
    kinks: "skip" leaves out, and reports, coordinates where the slope differs from side to side (its gradient has
    to lie between the two); "refuse" refuses them, for a test whose points are to be away from them.
    skip: what not to check beside the derivative. "purity": the same results twice, no argument changed, no global
    random numbers. "linearity": backward is linear in dout. "adjoint": <dout, J v> = <Jᵀ dout, v> along a random v
    for arguments in which forward is linear; no sample, so it finds one wrong coordinate among millions.

    Returns a Report; where differences cannot tell, a coordinate is neither passed nor refused, and the Report says
    so. Raises AssertionError that names the argument, the index, the analytic and the numeric value of the worst
    coordinate, or what else is wrong. Raises TypeError or ValueError for arguments that cannot be checked.
    """
    _check_settings(len(args), only, sample, dtype, kinks, skip)
    check_whole("seed", seed, "a whole number from 0 up", lambda seed: seed >= 0)
    check_number("tolerance", tolerance, "a number of at least 0", lambda tolerance: tolerance >= 0)
    if step is not None:
        check_number("step", step, "a number above 0", lambda step: step > 0)
    for place, arg in enumerate(args):
        if isinstance(arg, np.ndarray) and not is_plain(arg):
            raise TypeError(f"argument {place}: expected a plain NumPy array, got {came(arg)}")
    if dtype is not None:
        args = tuple(arg.astype(dtype) if isinstance(arg, np.ndarray) and arg.dtype.kind == "f" else arg
                     for arg in args)
    pair = Pair(forward, backward, args, surrogate, seed, "purity" not in skip)
    places = [place for place, gradient in enumerate(pair.gradients)
              if gradient is not None and (only is None or place in np.atleast_1d(only))]
    for place in np.atleast_1d(only) if only is not None else ():
        if place not in places:
            raise AssertionError(f"argument {place}: backward returned no gradient for it")
    if "linearity" not in skip:
        pair.check_linearity()
    checks = [_Coordinates(pair, place, tolerance, step, sample, seed, complex_step) for place in places]
    for check in checks:
        check.refuse(kinks)
    if "adjoint" not in skip:
        for check in checks:
            check.adjoint()
    if "purity" not in skip:
        pair.check_purity("after other points in between")
    return _report(checks, "" if sample is None else f"at most {sample} coordinates an argument, seed {seed}")


def _check_settings(count, only, sample, dtype, kinks, skip):
    if kinks not in ("skip", "refuse"):
        raise ValueError(f'kinks: expected "skip" or "refuse", got {kinks!r}')
    if dtype is not None and np.dtype(dtype) != np.float64:
        raise ValueError(f"dtype: expected np.float64, in which differences are fine enough, got {np.dtype(dtype)}")
    if sample is not None:
        check_whole("sample", sample, "a number of coordinates, 1 or more", lambda sample: sample >= 1)
    if isinstance(skip, str) or not set(skip) <= set(BEHAVIOUR):
        raise ValueError(f"skip: expected a tuple of some of {BEHAVIOUR}, got {skip!r}")
    if only is not None and not all(0 <= place < count for place in np.atleast_1d(only)):
        raise ValueError(f"only: expected positions of arguments, 0 to {count - 1}, got {only!r}")


class _Coordinates:
    """The coordinates of one argument: the analytic and the numeric derivative of each."""

    def __init__(self, pair, place, tolerance, step, sample, seed, complex_step):
        self.pair, self.place, self.tolerance, self.step, self.seed = pair, place, tolerance, step, seed
        self.arg, self.gradient = np.asarray(pair.args[place]), pair.gradients[place]
        self.unit = typical(self.arg[np.isfinite(self.arg)])
        chosen = np.arange(self.arg.size)
        if sample is not None and sample < self.arg.size:
            chosen = np.sort(np.random.default_rng([seed, 2, place]).choice(self.arg.size, sample, replace=False))
        self.indices = [tuple(map(int, index)) for index in zip(*np.unravel_index(chosen, self.arg.shape))] \
            if self.arg.ndim else [()]
        self.analytic = np.array([self.gradient[index] for index in self.indices])
        self.complex_step = complex_step
        self.slopes = [self._complex_slope(index) if complex_step else self._line(index).slope()
                       for index in self.indices]

    def _line(self, index):
        at = abs(float(self.arg[index]))
        size = max(at, self.unit / 8)
        grain = 8 * np.spacing(at) if at else 0.0
        if self.step is not None:
            start = lowest = highest = np.log2(self.step / ODD)
        else:
            lowest = exponent(grain) if at else exponent(size) - 60
            start, highest = max(exponent(size) - 10, lowest), exponent(size) + 14
        return Line(self.pair.along(self.place, index), self.pair.y, self.pair.dout, start, lowest, highest, grain)

    def _complex_slope(self, index):
        h = 2.0**-100 * max(abs(float(self.arg[index])), self.unit)
        try:
            values = self.pair.along(self.place, index)(1j * h)
        except TypeError as error:
            raise TypeError(f"argument {self.place}: forward does not take complex numbers ({error}): leave "
                            "complex_step out") from error
        terms = self.pair.dout * values.imag / h
        return Slope(float(np.sum(terms)), float(4 * EPSILON * np.sqrt(np.sum(terms**2))),
                     float(np.sum(np.abs(terms))))

    def _errors(self):
        return np.array([error_of(analytic, slope, self.tolerance)
                         for analytic, slope in zip(self.analytic, self.slopes)])

    def refuse(self, kinks):
        """Raise AssertionError about the worst coordinate that differs, if there is one, once it is confirmed."""
        confirmed = set()
        while (errors := self._errors()).max(initial=0) > self.tolerance:
            worst = _first(errors)
            if worst in confirmed or self.slopes[worst].kink:
                break
            self.slopes[worst] = self._confirmed(worst)
            confirmed.add(worst)
        differing = int(np.sum(errors > self.tolerance))
        if differing:
            raise AssertionError(self._sentence(_first(errors), float(errors.max()), differing))
        if kinks == "refuse":
            for i, slope in enumerate(self.slopes):
                if slope.kink:
                    raise AssertionError(f"{self._name(i)}: a kink, with slopes {slope.low:.12g} and {slope.high:.12g} "
                                         "on its sides: move this point away from it")

    def _confirmed(self, i):
        first, slope = self.slopes[i], self._line(self.indices[i]).confirmed()
        if self.complex_step and not slope.kink and abs(slope.value - first.value) > max(
                slope.error, 1e-6 * slope.size):
            raise AssertionError(f"{self._name(i)}: forward does not continue to complex numbers (abs, .real, a "
                                 "comparison?): leave complex_step out")
        return slope

    def adjoint(self):
        """<dout, J v> = <gradient, v> for a random v, if forward is linear in this argument."""
        v = self.unit * np.random.default_rng([self.seed, 3, self.place]).standard_normal(self.arg.shape)
        if self.arg.size == 0 or not self._linear_along(v):
            return
        inside = np.arange(self.arg.size)
        if abs(self._mismatch(v, inside)[0]) <= self._mismatch(v, inside)[1]:
            return
        while len(inside) > 1:                             # which half of the coordinates is to blame?
            halves = np.array_split(inside, 2)
            inside = max(halves, key=lambda half: abs(self._mismatch(v, half)[0]))
        self.indices = [tuple(map(int, np.unravel_index(inside[0], self.arg.shape)))]
        self.analytic = np.array([self.gradient[self.indices[0]]])
        self.slopes = [self._line(self.indices[0]).slope()]
        self.refuse("skip")
        raise AssertionError(f"argument {self.place}: forward is linear in it, but along a random v <dout, J v> and "
                             f"<gradient, v> differ, by {self._mismatch(v, np.arange(self.arg.size))[0]:.3g}")

    def _linear_along(self, v):
        along, y = self.pair.along(self.place, v), self.pair.y
        try:
            with np.errstate(all="ignore"):
                right, left, far = along(1.0), along(-1.0), along(2.0)
        except Exception:                                  # outside of forward's domain
            return False
        rise, most = np.abs(right - left).max(initial=0), np.abs([right, left, far]).max(initial=0)
        bent = np.abs([right + left - 2 * y, far - y - (right - left)]).max(initial=0)
        return bool(np.isfinite(bent) and bent <= 1e-10 * rise + 64 * EPSILON * most)

    def _mismatch(self, v, inside):
        """<dout, J v> - <gradient, v> over the coordinates inside, and how large rounding lets it be."""
        part = np.zeros(self.arg.size)
        part[inside] = np.ravel(v)[inside]
        part = part.reshape(self.arg.shape)
        along, dout = self.pair.along(self.place, part), self.pair.dout
        right, left = along(1.0), along(-1.0)
        rise, claimed, most = dout * (right - left) / 2, self.gradient * part, np.maximum(np.abs(right), np.abs(left))
        allowed = self.tolerance * (_norm(rise) + _norm(claimed)) + 64 * EPSILON * _norm(dout * most)
        return float(np.sum(rise) - np.sum(claimed)), allowed

    def _name(self, i):
        return f"argument {self.place}, index {self.indices[i]}"

    def _sentence(self, i, error, differing):
        slope, of = self.slopes[i], f"({differing} of {len(self.slopes)} coordinates differ)"
        if slope.kink:
            return (f"{self._name(i)}: analytic {self.analytic[i]:.12g}, but here is a kink with slopes "
                    f"{slope.low:.12g} and {slope.high:.12g} on its sides, and a gradient lies between them {of}")
        sentence = (f"{self._name(i)}: analytic {self.analytic[i]:.12g}, numeric {slope.value:.12g}, relative error "
                    f"{error:.2g} > {self.tolerance:g} {of}")
        if not self.pair.estimator and all(slope.size == 0 for slope in self.slopes):
            return f"{sentence}: {ESTIMATOR}"
        return f"{sentence}; {self.pair.doubt}" if self.pair.doubt else sentence

    def sort(self):
        """Rows of what agrees, with how good each difference was; rows of what is too coarse; names of kinks."""
        agree, coarse, kinks = [], [], []
        for i, (slope, error) in enumerate(zip(self.slopes, self._errors())):
            row = Row(self._name(i), float(self.analytic[i]), slope.value, slope.error, float(error))
            if slope.kink:
                kinks.append(row.where)
            elif slope.error > self.tolerance * slope.size:
                coarse.append(row)
            else:
                agree.append((row, slope.error / slope.size if slope.size else 0.0))
        return agree, coarse, kinks


def _first(errors):
    """The first of the worst: errors that are the same but for rounding are."""
    return int(np.flatnonzero(errors >= (1 - 1e-6) * errors.max())[0])


def _norm(array):
    return float(np.sqrt(np.sum(array**2)))


def _report(checks, note):
    agree, coarse, kinks = [], [], []
    for check in checks:
        for found, more in zip((agree, coarse, kinks), check.sort()):
            found.extend(more)
    if not agree:
        raise AssertionError("nothing was checked: " + (
            "backward returned no gradient" if not kinks and not coarse else
            f"{len(kinks)} coordinates are kinks, and at {len(coarse)} differences are too coarse: move the point, or "
            "raise tolerance="))
    agree.sort(key=lambda found: -found[0].error)
    return Report(len(agree), agree[0][0].error, max(good for _, good in agree), tuple(kinks), tuple(coarse),
                  tuple(row for row, _ in agree[:WORST]), note)
