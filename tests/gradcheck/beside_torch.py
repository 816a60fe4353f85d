"""The battery beside torch.autograd.gradcheck, each with its defaults: `python -m tests.gradcheck.battery --torch`.

A pair becomes a torch.autograd.Function around the same two functions. The default mode of PyTorch's check takes the
whole Jacobian, and so does a fast one that fails, for its message: pairs with more than 100,000 entries are left out.
"""

import time

import numpy as np
import torch

from tests.gradcheck.battery import as_tuple, run

MOST = 100_000


def as_function(pair, backward, args):
    """The pair as a function of tensors, of the arguments that are real numbers; and these arguments."""
    real = [place for place, arg in enumerate(args) if np.asarray(arg).dtype == np.float64 and np.ndim(arg) + 1
            and place < len(as_tuple(backward(upstream(pair.forward(*args)[0]), pair.forward(*args)[1])))]

    class Wrapped(torch.autograd.Function):
        @staticmethod
        def forward(context, *tensors):
            filled = list(args)
            for place, tensor in zip(real, tensors):
                filled[place] = tensor.detach().numpy()
            out, context.cache = pair.forward(*filled)
            made = tuple(torch.as_tensor(np.array(part, np.float64)) for part in as_tuple(out))
            return made if isinstance(out, tuple) else made[0]

        @staticmethod
        def backward(context, *dout):
            parts = tuple(part.numpy() if part.ndim else float(part) for part in dout)
            gradients = as_tuple(backward(parts if len(parts) > 1 else parts[0], context.cache))
            return tuple(torch.as_tensor(np.array(gradients[place], np.float64)) for place in real)

    inputs = tuple(torch.tensor(np.array(args[place]), requires_grad=True) for place in real)
    return Wrapped.apply, inputs


def upstream(out):
    parts = tuple(np.ones(np.shape(part)) for part in as_tuple(out))
    return parts if isinstance(out, tuple) else parts[0]


def accepts(pair, backward, args, fast):
    function, inputs = as_function(pair, backward, args)
    return torch.autograd.gradcheck(function, inputs, raise_exception=False, fast_mode=fast)


def compare(pairs, seeds):
    """Print a table: of each check, the right pairs refused, the wrong ones passed, and seconds."""
    print(f"{'pair':<42}{'check_op':>22}{'gradcheck':>22}{'gradcheck, fast':>22}")
    print(f"{'':<42}" + f"{'refused passed seconds':>22}" * 3)
    totals = np.zeros((3, 4))
    for pair in pairs:
        ((refused, passed, _, seconds, _),) = run([pair], seeds).values()
        row = [(refused, passed, seconds)]
        for fast in (False, True):
            args = pair.make(np.random.default_rng(0))
            entries = sum(np.size(part) for part in as_tuple(pair.forward(*args)[0])) * sum(map(np.size, args))
            if entries > MOST:
                row.append(None)
                continue
            start, counts = time.perf_counter(), [0, 0]
            for seed in seeds:
                args = pair.make(np.random.default_rng(seed))
                counts[0] += not accepts(pair, pair.backward, args, fast)
                counts[1] += accepts(pair, pair.spoiled, args, fast)
            row.append((*counts, time.perf_counter() - start))
        totals += [(*cell, len(seeds)) if cell else (0, 0, 0, 0) for cell in row]
        print(f"{pair.name:<42}" + "".join(f"{cell[0]:>7}{cell[1]:>7}{cell[2]:>8.1f}" if cell else f"{'too large':>22}"
                                           for cell in row), flush=True)
    print(f"{'of so many right and as many wrong':<42}" + "".join(f"{int(total[3]):>22}" for total in totals))
    print(f"{'in all':<42}" + "".join(f"{int(total[0]):>7}{int(total[1]):>7}{total[2]:>8.1f}" for total in totals))
