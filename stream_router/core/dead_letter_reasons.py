"""Why an event is buried: the reasons that a dead letter can name. A new one is declared here.

The stage that refuses the event raises it (data that cannot be mapped: `pipeline/mapping/mapper.py`, by `Rejected`);
where a destination gives an event up, `why_given_up` of
`pipeline/delivery/dispatcher_contract.py` has its words. `REASONS_OF_DATA` says whether it counts against the limit.
The schema of a dead letter (docs/schemas/) and the metrics' label take their values from here.
"""

import enum


class Reason(enum.StrEnum):
    """Why an event is a dead letter (docs/contract.md, "A dead letter"): bounded, fit for a metric's label."""

    MALFORMED_JSON = "malformed_json"
    SCHEMA_MISMATCH = "schema_mismatch"
    UNSUPPORTED_VERSION = "unsupported_version"
    UNROUTABLE = "unroutable"
    OVERSIZE = "oversize"
    MASKING_FAILED = "masking_failed"
    REFUSED = "refused"
    RETRIES_EXHAUSTED = "retries_exhausted"
    OUTAGE = "outage"
    INTERNAL_ERROR = "internal_error"
    CRASHED = "crashed"


REASONS_OF_DATA = frozenset(
    {
        Reason.SCHEMA_MISMATCH,
        Reason.UNSUPPORTED_VERSION,
        Reason.MALFORMED_JSON,
        Reason.MASKING_FAILED,
        Reason.REFUSED,
        Reason.OVERSIZE,
        Reason.INTERNAL_ERROR,
    }
)
"""What counts against the limit on dead letters (`pipeline/dead_letter_limit.py`): data, and what we cannot do with it.

`unroutable` does not: to subscribe to 3 of 20 event types is normal.
"""
