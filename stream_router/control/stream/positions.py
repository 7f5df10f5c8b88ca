"""Positions in a shard, as the KCL orders them: sequence and sub-sequence number, compared as integers."""

from typing import NamedTuple


class Position(NamedTuple):
    """A place in a shard, or one of the KCL's words for one. Tuples compare as the KCL's `ExtendedSequenceNumber`."""

    sequence_number: int
    sub_sequence_number: int


AT_TIMESTAMP = Position(-3, 0)
TRIM_HORIZON = Position(-2, 0)
LATEST = Position(-1, 0)
SHARD_END = Position(10**129, 0)
"""Beyond any sequence number, which has at most 129 digits (model `kinesis`, SequenceNumber)."""

_WORDS = {"AT_TIMESTAMP": AT_TIMESTAMP, "TRIM_HORIZON": TRIM_HORIZON, "LATEST": LATEST, "SHARD_END": SHARD_END}
_NAMES = {position: word for word, position in _WORDS.items()}


def parse(sequence_number: str, sub_sequence_number: int) -> Position:
    """A checkpoint as a lease's row has it. Raises ValueError where it is neither a number nor one of the words."""
    return _WORDS.get(sequence_number) or Position(int(sequence_number), sub_sequence_number)


def text(position: Position) -> str:
    """The position as an operator reads it."""
    word = _NAMES.get(position)
    sub = f" sub-sequence {position.sub_sequence_number}" if position.sub_sequence_number else ""
    return word or f"{position.sequence_number}{sub}"


def has_passed(checkpoint: Position, position: Position) -> bool | None:
    """Whether a checkpoint has passed a record; None where the checkpoint's word does not tell.

    A worker that began at LATEST or AT_TIMESTAMP has passed over what was there before, but the row does not say where.
    """
    if checkpoint in (LATEST, AT_TIMESTAMP):
        return None
    return position <= checkpoint
