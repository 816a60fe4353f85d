"""Is a hand-written derivative right? Compare it with differences of the function itself, coordinate by coordinate.

In the tests of your own layer one line does it: `check_op(my_forward, my_backward, x, w)`. For a binarizer, whose
differences are all zero, pass the surrogate that the backward pass claims to be the derivative of. `check_network`
does the same for a whole network; notebooks/check_your_own_layer.md shows ten layers and what is said about each.
"""

from .differences import FLOOR, STEP, central_difference, numeric_gradient, relative_error
from .operation import TOLERANCE, check_op
from .report import Report
from .whole import check_network

__all__ = ["FLOOR", "STEP", "TOLERANCE", "Report", "central_difference", "check_network", "check_op",
           "numeric_gradient", "relative_error"]
