"""An environment with the settings of an example, and none of whoever runs the tool."""

import os
from collections.abc import Mapping

PREFIXES = ("STREAM_ROUTER_", "AWS_", "SQS_", "EVENTBRIDGE_")


def set_alone(settings: Mapping[str, str]) -> None:
    """From now on the environment's settings are these."""
    for name in [name for name in os.environ if name.startswith(PREFIXES)]:
        del os.environ[name]
    os.environ.update(settings)
