"""Names that several parts share. Rules, consumers and auditors outside the project depend on the first two."""

SOURCE = "nice.cxone.webhook"
"""The entry's `Source`; the rule matches it."""

PIPELINE_ID = "cxone-event-router-v1"
"""Who made the event, in its metadata and in the audit log."""

PROBE_TYPE = "stream_router.probe"
"""The event type of `doctor --end-to-end`: known before mapping, and matched by no rule of ours."""

SNAPSHOTS = "metrics"
"""The folder of the children's figures in the state folder, whose other names are in consumer/state_dir.py."""
