"""One module a paper: what its letters are called here, its algorithm, its recipes, its published errors."""

from . import binaryconnect, bitwise, bnn, ebp, few_multiplications, float_baseline

PAPERS = {"float": float_baseline, "binaryconnect": binaryconnect, "bnn": bnn,
          "few_multiplications": few_multiplications, "ebp": ebp, "bitwise": bitwise}
