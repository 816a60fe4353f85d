"""How often a binary filter repeats: a 3 × 3 slice of signs is one of 512, and a layer has thousands of slices.

Equal slices on the same input channel give equal results, and a slice and its negative differ in sign alone; so a
layer needs to compute each distinct slice once.
"""

from dataclasses import dataclass

import numpy as np

from ..ops.binarize import sign
from ..ops.checks import check_shapes

LARGEST = 62                                      # entries of a slice whose signs fit into an int64


@dataclass(frozen=True)
class Distinct:
    """Fractions of slices that are distinct, and what random slices would have on average."""

    plain: float
    merged: float                                 # a slice and its negative counted as one
    plain_chance: float
    merged_chance: float


@dataclass(frozen=True, eq=False)
class UniqueFilters:
    """The slices of a layer, and how many of them are distinct."""

    codes: np.ndarray                             # (M, C) int64: slice_codes(w)
    by_channel: Distinct                          # among the M slices on one input channel; the mean over channels
    by_layer: Distinct                            # among all M·C slices


def slice_codes(w):
    """The signs of each KH × KW slice as a number 0 ... 2^(KH·KW) - 1: bit j is 1 where entry j is +1.

    w: (M, C, KH, KW), float; entries in reading order, sign(0) = +1. Returns (M, C) int64. The negative of a slice
    without zeros is the number with all bits turned. Raises TypeError or ValueError for another w, ValueError for
    more than 62 entries in a slice.
    """
    sizes = check_shapes(("w", w, "M C KH KW"))
    if min(sizes.values()) < 1 or sizes["KH"] * sizes["KW"] > LARGEST:
        raise ValueError(f"w: expected slices of 1 to {LARGEST} entries, at least one of them, got shape {w.shape}")
    positive = (sign(w) > 0).reshape(*w.shape[:2], -1)
    return (positive << np.arange(positive.shape[2])).sum(axis=2)


def chance(slices, kinds):
    """The fraction that is distinct, on average, among `slices` slices drawn evenly from so many kinds.

    Each kind is missed with probability (1 - 1/kinds)^slices; those that are not are the distinct ones.
    """
    return kinds * -np.expm1(slices * np.log1p(-1 / kinds)) / slices if kinds > 1 else 1 / slices


def unique_filters(w):
    """Which slices of a convolution's signs are distinct, counted in every way that may be meant [BNN §3].

    w: (M, C, KH, KW), float. The BNN paper reports 42 % on average in its CIFAR-10 network, and does not say whether
    among the slices on one input channel, which could share results, or in a whole layer; nor whether negatives are
    merged. Without the chance level beside it no such number says much: 512 random slices have 63 % distinct.
    Returns UniqueFilters. Raises as `slice_codes` does.
    """
    codes = slice_codes(w)
    last = 2 ** (w.shape[2] * w.shape[3]) - 1
    merged = np.minimum(codes, last - codes)
    return UniqueFilters(codes, _distinct(list(codes.T), list(merged.T), last + 1),
                         _distinct([codes], [merged], last + 1))


def _distinct(groups, merged_groups, kinds):
    def mean(parts):
        return float(np.mean([len(np.unique(part)) / part.size for part in parts]))

    size = groups[0].size
    return Distinct(mean(groups), mean(merged_groups), float(chance(size, kinds)), float(chance(size, kinds // 2)))
