"""How far apart the tries of one entry are: of PutEvents alone; SQS and S3 keep `delivery/backoff.py`'s numbers."""

from stream_router.pipeline.delivery.backoff import Backoff

BACKOFF = Backoff(first_s=0.25, growth=4.0, longest_s=10.0, call_first_s=0.1, call_growth=2.0, call_longest_s=2.0)
"""In seconds. An entry's own trouble has passed after the first, as a rule; the call's is the whole bus's."""
