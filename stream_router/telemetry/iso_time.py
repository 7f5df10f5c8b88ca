"""Epoch seconds as text."""

from datetime import UTC, datetime


def iso_s(epoch_s: float) -> str:
    """ISO 8601 in UTC with milliseconds and `Z`."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
