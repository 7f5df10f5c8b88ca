"""One heap for all threads of a process that has many and hurries with none."""

import contextlib
import ctypes

M_ARENA_MAX = -8
"""glibc's number for it (malloc.h)."""


def mallopt(option: int, value: int) -> None:
    """Set an option of the C library's allocator, by its number in malloc.h. Only glibc knows it; others do nothing."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(option, value)


def keep() -> None:
    """Call it before there are threads.

    glibc gives each thread a heap of its own, up to eight a CPU, and each keeps its holes: the supervisor grew by half
    a megabyte a minute. With one heap it does not (126.2 MB after eight minutes, beside 131.4).
    """
    mallopt(M_ARENA_MAX, 1)
