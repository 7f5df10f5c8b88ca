"""The C library's allocator, told how a process uses memory. Only glibc knows these options; others do nothing."""

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""glibc's numbers for its options (malloc.h)."""

LARGE_BYTES = 1024 * 1024
KEPT_FREE_BYTES = 16 * 1024 * 1024
MOST_BYTES = 32 * 1024 * 1024
"""The most that glibc takes as a threshold on 64 bits."""


def share_one_heap() -> None:
    """For a process of many threads that hurries with none. Call it before there are threads.

    glibc gives each thread a heap of its own, up to eight a CPU, and each keeps its holes: the supervisor grew by half
    a megabyte a minute. With one heap it does not (126.2 MB after eight minutes, beside 131.4).
    """
    _set(_M_ARENA_MAX, 1)


def give_back_large_blocks() -> None:
    """For a process that makes and drops many large buffers: each goes back to the kernel as it is freed.

    Call it before there are threads. glibc raises the size from which a buffer has pages of its own to that of the
    largest that was ever freed. After one call of ten megabytes each of its parts lies in the heap, between events that
    wait, and leaves a hole there: of a receiver that was flooded with events of 60 KB it was 50 MB. What is small is
    kept for the next, as before.
    """
    _set(_M_MMAP_THRESHOLD, LARGE_BYTES)
    _set(_M_TRIM_THRESHOLD, KEPT_FREE_BYTES)


def keep_large_blocks() -> None:
    """For a process that needs the same large buffers again and again: to fault them in anew costs CPU."""
    _set(_M_TRIM_THRESHOLD, MOST_BYTES)
    _set(_M_MMAP_THRESHOLD, MOST_BYTES)


def give_back_now() -> None:
    """Give free memory back to the kernel: some milliseconds, and what is needed again is faulted in anew."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _set(option: int, value: int) -> None:
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(option, value)
