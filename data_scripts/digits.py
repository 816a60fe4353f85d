"""Makes bnn_ref/digits.npz, the data set of the package, and is kept so that anyone can see how it was made.
It needs scikit-learn and is run only to change that file.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998, https://doi.org/10.24432/C50P49, licence CC BY 4.0
(https://creativecommons.org/licenses/by/4.0/). scikit-learn carries its test part: 1,797 digits of 13
people, 8 x 8, each value the number (0..16) of ink pixels in a 4 x 4 block.
Changed here: values scaled to 0..255 and rounded; split into 1,257 training, 180 validation and 360 test
images, every class in proportion. The same people wrote the digits of all three parts.

    python data_scripts/digits.py
"""

import sys
from pathlib import Path

import numpy as np

try:
    from bnn_ref import data
except ImportError as error:
    print(f"digits.py: error: {error}; run `pip install .` in the repository first", file=sys.stderr)
    raise SystemExit(2) from None

TARGET = Path(__file__).resolve().parent.parent / "bnn_ref" / "digits.npz"
TEST, VALIDATION = 360, 180
SEED = 1998


def split(labels):
    """Ascending indices (train, valid, test) of labels (N,), every class in proportion to one image."""
    rng = np.random.RandomState(SEED)  # its stream is promised never to change
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    order = np.argsort(position, kind="stable")  # any stretch of it holds all classes in proportion
    test, valid, train = np.split(order, [TEST, TEST + VALIDATION])
    return np.sort(train), np.sort(valid), np.sort(test)


def main():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)  # (1797, 64) float64 0..16, (1797,)
    x = np.rint(images * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    train, valid, test = split(labels)
    data.save(TARGET, x[train], labels[train], x[test], labels[test], x[valid], labels[valid],
              replace=True)
    print(f"wrote {TARGET}")


if __name__ == "__main__":
    main()
