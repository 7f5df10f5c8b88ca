"""`stream-router shards [--to N]`, from the settings to the last line."""

import sys
import time

from botocore.exceptions import BotoCoreError, ClientError

from stream_router.aws.clients import Clients
from stream_router.control.lines import write_line
from stream_router.control.shards import load, reshard
from stream_router.control.shards.load import Load
from stream_router.control.stream import session
from stream_router.control.stream import shards as shards_
from stream_router.control.stream.reader import Span
from stream_router.control.stream.session import Stops, say
from stream_router.control.stream.shards import UnreadableError
from stream_router.settings.receiver import Receiver

DONE, NOT_DONE = 0, 1

MEASURED_S = 60
"""Long enough for a mean of what comes in bursts, and read in about as long."""


def run(settings: Receiver, to: int | None) -> int:
    """The command: shows the load, or reshards `to` so many. 0, or 1 where something stands against it.

    Raises SettingsError.
    """
    clients, stops = Clients(settings.aws_region), Stops()
    with stops.listening():
        try:
            return _show(settings, clients, stops) if to is None else _reshard(settings, to, clients, stops)
        except (UnreadableError, ClientError, BotoCoreError, TimeoutError) as error:
            say(f"stream-router shards: {error}")
            return NOT_DONE


def _show(settings: Receiver, clients: Clients, stops: Stops) -> int:
    now_ms = int(time.time() * 1000)
    span = Span(now_ms - MEASURED_S * 1000, now_ms)
    stream = shards_.describe(clients.kinesis, settings.stream, span.since_ms, now_ms)
    with session.reading(clients, stream, span, stops) as pieces:
        loads = load.measure(pieces, stream.shards, span)
    if stops.asked.is_set():
        say("broken off: nothing is measured")
        return NOT_DONE
    for line in table(loads, MEASURED_S):
        _write(line)
    _write(load.advice(loads, on_demand=stream.on_demand))
    return DONE


def table(loads: list[Load], seconds: int) -> list[str]:
    """One line a shard: its share of the keys, records and bytes a second, each against its limit."""
    made = [f"{'over ' + str(seconds) + ' s':<22}{'keys':>6}{'rec/s':>8}{'':>5}{'kB/s':>8}{'':>5}"]
    for one in loads:
        records, size = one.records_per_s / load.RECORDS_PER_S, one.bytes_per_s / load.BYTES_PER_S
        made.append(
            f"{one.shard_id:<22}{one.keys:>6.1%}{one.records_per_s:>8,.1f}{records:>5.0%}"
            f"{one.bytes_per_s / 1000:>8,.1f}{size:>5.0%}"
        )
    return made


def _reshard(settings: Receiver, wanted: int, clients: Clients, stops: Stops) -> int:
    summary = clients.kinesis.describe_stream_summary(StreamName=settings.stream)["StreamDescriptionSummary"]
    now = summary["OpenShardCount"]
    if wanted == now:
        _write(f"stream {settings.stream} has {now} shards already")
        return DONE
    for line in reshard.RULES:
        _write(line)
    why = reshard.refusal(summary, wanted, settings.buckets)
    if why:
        say(f"stream-router shards: {why}")
        return NOT_DONE
    if stops.asked.is_set():
        say("broken off: the stream is as it was")
        return NOT_DONE
    clients.kinesis.update_shard_count(
        StreamName=settings.stream, TargetShardCount=wanted, ScalingType="UNIFORM_SCALING"
    )
    _write(f"stream {settings.stream}: from {now} shards to {wanted}")
    told = ("", 0)
    for state in reshard.follow(clients.kinesis, settings.stream, wanted, time.monotonic, stops.asked.wait):
        if state != told:
            _write(f"{state[0]}, {state[1]} shards open")
            told = state
    if stops.asked.is_set():
        say(f"broken off: {reshard.GOES_ON}")
        return NOT_DONE
    _write("done")
    return DONE


def _write(line: str) -> None:
    write_line(sys.stdout, line)
