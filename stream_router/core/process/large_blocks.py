"""Large buffers of a process that makes and drops many go back to the kernel as they are freed."""

from stream_router.core.process.one_heap import mallopt

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's numbers for them (malloc.h)."""
LARGE_BYTES = 1024 * 1024
KEPT_FREE_BYTES = 16 * 1024 * 1024


def give_back() -> None:
    """Call it before there are threads.

    glibc raises the size from which a buffer has pages of its own to that of the largest that was ever freed. After one
    call of ten megabytes each of its parts lies in the heap, between events that wait, and leaves a hole there: of a
    receiver that was flooded with events of 60 KB it was 50 MB. What is small is kept for the next, as before.
    """
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
    mallopt(M_TRIM_THRESHOLD, KEPT_FREE_BYTES)
