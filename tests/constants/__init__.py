"""Other constants of the product in the programs that a test starts, and in all that these start.

What nobody can choose rightly is not a setting, and yet a test cannot wait a minute for metrics: `with_constants` gives
variables by which Python, as it starts (`sitecustomize.py` beside this file), sets them.
"""

import os
from collections.abc import Mapping
from pathlib import Path

METRICS_EVERY_S = "stream_router.telemetry.cloudwatch:PUBLISH_INTERVAL_S"
CALL_BYTES = "stream_router.limits:REQUEST_BYTES_1MB"
CALLS_IN_FLIGHT = "stream_router.consumer.destinations:MAX_IN_FLIGHT"
LINGER_S = "stream_router.receiver.putrecords:LINGER_S"
IDLE_S = "stream_router.receiver.connection:IDLE_S"
BODY_S = "stream_router.receiver.connection:BODY_S"
HEAD_S = "stream_router.receiver.connection:HEAD_S"
WAIT_FOR_PARSING_S = "stream_router.receiver.app:LATE_S"
LATEST_202_S = "stream_router.receiver.app:LATEST_202_S"
GIVE_UP_AFTER_S = "stream_router.receiver.batcher:GIVE_UP_AFTER_S"
LATE_CALL_S = "stream_router.receiver.putrecords:LATE_AFTER_S"
HIDE_S = "stream_router.operate.queue:VISIBILITY_TIMEOUT_S"
KEEP_EVERY_S = "stream_router.operate.queue:VISIBILITY_CHECK_INTERVAL_S"


def with_constants(values: Mapping[str, float]) -> dict[str, str]:
    """The variables of a process in which these constants (`module:NAME`) have these values."""
    path = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    assignments = ",".join(f"{place}={value}" for place, value in values.items())
    return {"PYTHONPATH": os.pathsep.join(path), "TESTED_WITH_CONSTANTS": assignments}
