"""Names that every event of ours bears; rules, consumers and auditors outside the project depend on them."""

SOURCE = "nice.cxone.webhook"
"""The entry's `Source`; the rule matches it."""

PIPELINE_ID = "cxone-event-router-v1"
"""Who made the event, in its metadata and in the audit log."""
