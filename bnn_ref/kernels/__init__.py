"""The XNOR-popcount matrix product: bits.py (packing), a file a platform, LADDER as data."""

from .ladder import LADDER, plane_matmul, xnor_matmul

__all__ = ["LADDER", "plane_matmul", "xnor_matmul"]
