"""Kernels and training steps beside their rivals, in one run: verified before they are timed, taking turns.

A figure is a ratio of medians; what it was measured on stands beside it.
"""
