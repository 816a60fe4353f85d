"""Fixtures that several test files share."""

from mirror import server

__all__ = ["server"]
