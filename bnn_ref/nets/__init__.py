"""A network as data: a tuple of steps, each of two or three operations' functions, and the one module that runs it.

What stands here describes, runs and counts networks; nothing here moves a weight.
"""
