"""An equation and its derivative on one screen, and nothing else: `out, cache = op_forward(...)`, `op_backward`.

Everything above is made of these functions; they know nothing of networks, papers or files.
"""
