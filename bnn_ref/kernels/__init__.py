"""What is fast: the XNOR-popcount matrix product rung by rung, and every other loop that is worth compiling.

`bits` has the convention of packed words, LADDER the rungs as data. Here cleverness is allowed, and equality proved.
"""

from .ladder import LADDER, plane_matmul, xnor_matmul

__all__ = ["LADDER", "plane_matmul", "xnor_matmul"]
