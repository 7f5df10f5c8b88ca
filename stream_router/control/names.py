"""Names that several of the operator's commands share."""

PROBE_PREFIX = "stream-router-probe-"
"""What the rule and the queue of `doctor --end-to-end` begin with: the operator's rights name them by it."""
