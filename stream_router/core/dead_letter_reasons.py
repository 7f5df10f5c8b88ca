"""Why an event is buried: the reasons that a dead letter can name."""

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
