"""One module a paper: what its letters are called here, its algorithm, its recipes.

PAPERS has them by the name that `bnn-ref train` takes; published errors and those measured here are data beside them.
"""

from . import binaryconnect, bitwise, bnn, ebp, few_multiplications, float_baseline

PAPERS = {"float": float_baseline, "binaryconnect": binaryconnect, "bnn": bnn,
          "few_multiplications": few_multiplications, "ebp": ebp, "bitwise": bitwise}
