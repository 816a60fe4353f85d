"""bnn_ref: the reference implementation of binarized neural networks.

Every equation is a pair of pure functions, `out, cache = op_forward(...)` and `dx, dw = op_backward(dout, cache)`,
in plain NumPy. Import what you read about: `from bnn_ref.ops.dense import binary_dense_forward`.
"""

__version__ = "0.1.0"
