"""The figures that a plan is reckoned from: measured ones, AWS's quotas, its prices. Each stands in a file of data."""

import functools
import json
from importlib import resources
from typing import Any, NamedTuple

from stream_router.errors import SettingsError


class Figures(NamedTuple):
    """What `benchmarks/results` says, copied by tools/measured.py. CPU in µs or ns, memory in MB of 10^6 bytes."""

    child_base_us: float
    child_ns_per_byte: float
    child_base_mb: float
    child_mb_per_kb: float
    receiver_us: float
    receiver_mb: float
    jvm_us_per_record: float
    read_us: float
    envelope_bytes: float
    entry_bytes: float


def _json(name: str) -> Any:
    return json.loads(resources.files(__package__).joinpath(name).read_text("utf-8"))


@functools.cache
def measured() -> tuple[Figures, int, str]:
    """The figures, the size of the event that they were taken with (bytes), and the machine."""
    found = _json("measured.json")
    return (
        Figures(**{name: one["value"] for name, one in found["figures"].items()}),
        found["event_bytes"],
        found["machine"],
    )


@functools.cache
def prices() -> dict[str, float]:
    """Dollars by name; units, sources and dates stand beside them in prices.json."""
    return {name: one["usd"] for name, one in _json("prices.json")["prices"].items()}


@functools.cache
def price_region() -> str:
    """The region whose price list it is."""
    return str(_json("prices.json")["region"])


def put_events_per_s(region: str) -> int:
    """PutEvents calls a second of an account in `region`, unless AWS raised it."""
    found = _json("quotas.json")["put_events_per_s"]
    return int(found["regions"].get(region, found["others"]))


def invocations_per_s(region: str) -> int | None:
    """Invocations of targets a second of an account in `region`; None where the quota was not read."""
    found = _json("quotas.json")["invocations_per_s"]["regions"].get(region)
    return None if found is None else int(found)


def check_region(region: str) -> None:
    """Raises SettingsError for a region that botocore does not know."""
    from botocore.session import Session

    session = Session()
    for partition in session.get_available_partitions():
        if region in session.get_available_regions("events", partition_name=partition, allow_non_regional=True):
            return
    raise SettingsError(f"--region: {region!r} is no AWS region that is known here; give one such as us-east-1")
