"""Histogram with logarithmic buckets: percentiles within 1 %, exact counts, and any two histograms can be added.

Percentiles over several shards come from the sum of their histograms, since percentiles cannot be averaged.
"""

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

RELATIVE_ERROR = 0.01
GROWTH = ((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)) ** 0.999
"""Ratio of a bucket's edges. All values in a bucket are reported as one, which is wrong by at most RELATIVE_ERROR.

The exponent leaves room for the rounding of the logarithm.
"""

SMALLEST_MS = 0.001
"""Milliseconds below which a value counts as 0. Clocks of two hosts differ by more than that."""

BUCKETS = 1400
"""Number of buckets, enough for 0.001 ms to 1e9 ms (eleven days). Larger values count in the last bucket."""

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}
"""The percentiles that the admin ports show, by name."""

_PER_BUCKET = 1 / math.log(GROWTH)
"""Number of buckets by which a value moves if its logarithm grows by 1."""
_FIRST_BUCKET = 1 - math.log(SMALLEST_MS) * _PER_BUCKET
"""Offset by which SMALLEST_MS falls into bucket 1. Bucket 0 is for smaller values."""
_TOP_MS = SMALLEST_MS * GROWTH ** (BUCKETS - 2)
"""Lower edge of the last bucket, in milliseconds. Larger values are counted, and remembered as the largest, as this."""

_edges = SMALLEST_MS * GROWTH ** np.arange(BUCKETS - 1, dtype=np.float64)
_VALUES = np.concatenate(([0.0], _edges * 2 * GROWTH / (1 + GROWTH)))
"""Values of the buckets: 0, then the point between a bucket's edges with the same relative distance to both."""


class Histogram:
    """Counts of values in milliseconds."""

    def __init__(self) -> None:
        self._counts: npt.NDArray[np.int64] = np.zeros(BUCKETS, dtype=np.int64)
        self.largest_ms = 0.0
        """The largest value, exactly."""

    def record(self, values_ms: npt.ArrayLike) -> None:
        """Add many values at once. NaN and negative values, which differing clocks cause, count as 0."""
        # fmax prefers any number to NaN. A value below SMALLEST_MS comes out below bucket 1, and is clipped to bucket
        # 0. The half of SMALLEST_MS keeps 0 out of the logarithm.
        values = np.fmin(np.fmax(np.asarray(values_ms, dtype=np.float64), 0.0), _TOP_MS)
        if not values.size:
            return
        buckets = (np.log(np.maximum(values, SMALLEST_MS / 2)) * _PER_BUCKET + _FIRST_BUCKET).astype(np.int64)
        self._counts += np.bincount(np.clip(buckets, 0, BUCKETS - 1), minlength=BUCKETS)
        self.largest_ms = max(self.largest_ms, float(values.max()))

    @property
    def count(self) -> int:
        """Number of values."""
        return int(self._counts.sum())

    def percentile(self, percent: float) -> float:
        """Return the value, in ms, that `percent` of all values do not exceed (nearest rank); 0.0 if there are none."""
        total = self.count
        if not total:
            return 0.0
        # 99.9 % of 1,000 is the 999th value. As floats the product is a little more, and would give the last value.
        rank = max(1, math.ceil(percent * total / 100 - 1e-6))
        bucket = int(np.searchsorted(np.cumsum(self._counts), rank))
        return min(float(_VALUES[bucket]), self.largest_ms)

    def summary(self) -> dict[str, float]:
        """Return the number of values, their percentiles and the largest, in ms, as `/status` has them."""
        quantiles = {name: round(self.percentile(percent), 3) for name, percent in PERCENTILES.items()}
        return {"count": self.count, **quantiles, "max": round(self.largest_ms, 3)}

    def values_counts(self) -> tuple[list[float], list[int]]:
        """Return the value (ms) of every bucket in use, and its count."""
        used = np.flatnonzero(self._counts)
        return np.round(_VALUES[used], 6).tolist(), self._counts[used].tolist()

    def merge(self, other: "Histogram") -> None:
        """Add all values of `other`."""
        self._counts += other._counts  # noqa: SLF001 - another of this class
        self.largest_ms = max(self.largest_ms, other.largest_ms)

    def since(self, base: "Histogram") -> "Histogram":
        """Return a histogram of the values added since `base`, an earlier state of this histogram.

        Its largest value is not known exactly, unless it is in the last bucket of this histogram.
        """
        difference = Histogram()
        difference._counts = np.maximum(self._counts - base._counts, 0)  # noqa: SLF001 - another of this class
        used = np.flatnonzero(difference._counts)
        if used.size:
            difference.largest_ms = (
                self.largest_ms if used[-1] == np.flatnonzero(self._counts)[-1] else float(_VALUES[used[-1]])
            )
        return difference

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data: `buckets` maps each used bucket's number to its count; the largest value is in ms."""
        used = np.flatnonzero(self._counts)
        return {"largestMs": self.largest_ms, "buckets": {str(bucket): int(self._counts[bucket]) for bucket in used}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the histogram of `to_dict`. Raise KeyError, ValueError or IndexError if `data` is something else."""
        histogram = cls()
        for bucket, count in data["buckets"].items():
            histogram._counts[int(bucket)] += int(count)
        histogram.largest_ms = float(data["largestMs"])
        return histogram
