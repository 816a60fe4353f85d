"""A forward, a backward and a point: what they say there, and whether they are functions of what they are given."""

import numpy as np

from . import contract


class Pair:
    """Forward, backward and a point: what they say there, and whether they say it twice."""

    def __init__(self, forward, backward, args, surrogate, seed, pure):
        self.forward, self.backward, self.args, self.pure = forward, backward, args, pure
        rng = np.random.default_rng([seed, 1])           # not the stream that the caller's arguments came from
        self.out, self.doubt = self._forward()
        self.dout = np.concatenate([rng.standard_normal(shape).ravel() for shape in self.out.shapes])
        self.other = rng.standard_normal(self.dout.shape)
        self.check_purity("")
        self.gradients = self.backwards(self.dout)
        for place, (one, two) in enumerate(zip(self.gradients, self.backwards(self.dout) if pure else ())):
            index = None if one is None else contract.differ(one, two)
            if index is not None:
                raise AssertionError(
                    f"argument {place}, index {index}: backward gave two gradients at the same point, {one[index]:.12g}"
                    f" and {two[index]:.12g}: they must depend on dout and cache alone")
        self.estimator = surrogate is not None
        self.f, self.y = self._frozen(surrogate) if self.estimator else (forward, self.out.flat)

    def _forward(self):
        """Forward at the point. Raises AssertionError if that changes an argument or draws global random numbers."""
        watch = self._watch()
        try:
            out, _, doubt = contract.call(self.forward, self.args)
        except AssertionError:
            for place, arg in enumerate(self.args):      # a float32 argument is why the output is float32
                if isinstance(arg, np.ndarray) and arg.dtype in (np.float32, np.float16):
                    contract.argument(arg, place)
            raise
        if self.pure:
            watch.assert_unchanged()
        return out, doubt

    def check_purity(self, when):
        """Forward at the same point gives the same, whatever happened in between."""
        if self.pure:
            again = self._forward()[0]
            if again.shapes != self.out.shapes or contract.differ(self.out.flat, again.flat) is not None:
                (entry,) = contract.differ(self.out.flat, again.flat)
                drawn = [place for place, arg in enumerate(self.args) if isinstance(arg, np.random.Generator)]
                raise AssertionError(
                    f"forward gave two results at the same point{' ' + when if when else ''}, "
                    f"{self.out.flat[entry]:.12g} and {again.flat[entry]:.12g} in entry {entry} of its output: "
                    + (f"argument {drawn[0]} is a random generator, pass the drawn numbers instead" if drawn else
                       "draw random numbers outside and pass them as an argument, and keep no state between calls"))

    def backwards(self, flat):
        """backward(dout) with a cache of its own, and the forward before it; gradients are copied."""
        _, cache, doubt = contract.call(self.forward, self.args)
        dout = contract.upstream(flat, self.out)
        watch = self._watch(dout=dout)
        try:
            gradients = contract.gradients_of(self.backward, dout, cache, self.args)
        except (AssertionError, TypeError) as error:
            if doubt:
                raise AssertionError(f"{error}; {doubt}") from error
            raise
        if self.pure:
            watch.assert_unchanged()
        return gradients

    def _watch(self, **more):
        return contract.Watch(**{f"argument {place}": arg for place, arg in enumerate(self.args)}, **more)

    def _frozen(self, surrogate):
        """The function that is differentiated in forward's place, and its outputs at the point."""
        f = surrogate(*self.args)
        frozen = contract.call(f, self.args, "the function that surrogate returned")[0]
        size = np.abs(self.out.flat).max(initial=0) or 1.0
        if frozen.shapes != self.out.shapes or np.abs(frozen.flat - self.out.flat).max(initial=0) > 1e-9 * size:
            raise AssertionError("the surrogate does not have the value of forward at this point")
        return f, frozen.flat

    def check_linearity(self):
        """backward(2a - b) = 2 backward(a) - backward(b)."""
        one, two, both = self.gradients, self.backwards(self.other), self.backwards(2 * self.dout - self.other)
        for place, (a, b, c) in enumerate(zip(one, two, both)):
            if a is None or b is None or c is None:
                continue
            size = 2 * np.abs(a).max(initial=0) + np.abs(b).max(initial=0)
            off = np.abs(2 * a - b - c)
            if off.size and np.isfinite(size) and off.max() > 1e-9 * size:
                index = tuple(map(int, np.unravel_index(off.argmax(), off.shape)))
                raise AssertionError(
                    f"argument {place}, index {index}: backward is not linear in dout: backward(2a - b) is "
                    f'{c[index]:.12g}, 2 backward(a) - backward(b) is {2 * a[index] - b[index]:.12g}')

    def along(self, place, direction):
        """f along a direction of one argument: a function of the distance, flat outputs. direction: array or index."""
        arg = self.args[place]

        def f(h):
            if isinstance(direction, tuple):
                moved = np.array(arg, np.result_type(np.float64, type(h)))
                moved[direction] += h
            else:
                moved = arg + h * direction
            moved = moved if isinstance(arg, np.ndarray) else moved[()]
            out = self.f(*self.args[:place], moved, *self.args[place + 1:])[0]
            return np.concatenate([np.ravel(part) for part in (out if isinstance(out, tuple) else (out,))])
        return f
