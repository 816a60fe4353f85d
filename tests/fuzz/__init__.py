"""Damaged files without end: `python -m tests.fuzz packed|npz|runs|archives [--seconds S] [--count N] [--seed N]`.

Each seed is one damaged file. It may be refused in one line, or read where that loses and changes nothing; a traceback,
a crash, a hang, too much memory or a wrong content is a fault, and printed with the seed that makes it again.
"""
