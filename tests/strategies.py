"""Hypothesis strategies that several property tests share."""

from hypothesis import strategies as st

ENTRY_CODES = st.sampled_from(["", "", "", "InternalFailure", "ThrottlingException", "MalformedDetail", "Unheard"])
"""What a bus says of one entry, most often nothing."""

CALL_FAULTS = st.sampled_from(
    ["", "", "", "500", "throttled", "expired", "no answer", "short", "html", "lost", "invalid"]
)
"""What happens to a whole call, most often nothing; `lost` is accepted by the bus and its answer lost."""
