"""`top`: what it shows of any answer, in 60 columns, and what it makes of hosts that give none."""

import asyncio
import io
from typing import Any, Literal

import httpx
import pytest
from rich.console import Console

from stream_router.errors import SettingsError
from stream_router.settings.operators import Top
from stream_router.settings.reading import load
from stream_router.top import command
from stream_router.top.view import Host, screen
from tests import statuses

CONSUMER, RECEIVER = "http://127.0.0.1:9464", "http://127.0.0.1:9465"


def host(status: dict[str, Any], url: str = CONSUMER, program: Literal["consume", "receive"] = "consume") -> Host:
    return Host(url, program, status, "")


def shown(*hosts: Host, width: int = 60, height: int = 100, live: bool = False) -> list[str]:
    """The lines as they stand on a terminal of that size."""
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None, force_terminal=True)
    console.print(screen(hosts, console, live=live))
    text = console.file.getvalue()  # type: ignore[attr-defined] # a StringIO
    return [line.rstrip() for line in text.rstrip("\n").split("\n")]


def the(lines: list[str], start: str) -> str:
    (found,) = [line for line in lines if line.startswith(start)]
    return found


def test_the_verdict_stands_first_then_what_explains_it_and_what_is_ill_before_what_is_well() -> None:
    """State, since when, why; then how long data is safe, rates, percentiles, reasons, the receiver, the shards."""
    lines = shown(host(statuses.holding()), host(statuses.receiver(), RECEIVER, "receive"))
    assert lines[0] == "✗ HOLDING since 09:28:00 UTC: 1 of 2 shards hold: the event"
    assert lines[1] == "bus refuses every call (ThrottlingException)"
    assert lines[2] == "data safe for 6d23h  oldest unsettled 2m02s  caught up in -"
    assert the(lines, "last minute: d") == "last minute: delivered 256/s  read 100/s  retries 14.5/s"
    assert the(lines, "whole way").split() == ["whole", "way", "840ms", "1.85s", "2.6s", "9.24s", "35s", "1m19s"]
    assert the(lines, "dead letters: ") == "dead letters: malformed_json 6, unroutable 1"
    assert the(lines, "retries: ") == "retries: ThrottlingException 20, InternalFailure 4"
    assert the(lines, "stream takes").startswith("stream takes events  refused buckets 0  spilled events 0")
    assert "401 bad_signature 3" in the(lines, "answers: ")
    assert the(lines, "stream refused: ") == "stream refused: ProvisionedThroughputExceededException 12"
    starts = (
        "data safe",
        "last minute: d",
        "latency, 5 min",
        "dead letters: ",
        "receiver ✓ READY",
        "shard 1",
        "shard state",
    )
    places = [next(n for n, line in enumerate(lines) if line.startswith(start)) for start in starts]
    assert places == sorted(places)
    assert the(lines, "shard 1") == "shard 1 since 09:28:00: the event bus refuses every call"
    assert lines[places[-1] + 1].split() == ["1", "holding", "2m02s", "6d23h", "117KiB", "3.5s"]
    well = shown(host(statuses.consumer()))
    first = well.index(the(well, "shard state"))
    assert [line.split()[0] for line in well[first + 1 : first + 3]] == ["1", "0"], "its lag is the larger"


def test_a_shard_that_nobody_reads_is_said() -> None:
    """Nothing of it is unsettled here, and it is not well."""
    lines = shown(host(statuses.moved()))
    assert any(line.startswith("nobody reads shardId-000000000002: lease does not move") for line in lines)
    assert "unread shards 1" in the(lines, "bus proven")
    assert "unread shards -" in the(shown(host(statuses.consumer(unreadShards=None))), "bus proven")


def test_several_hosts_are_a_line_each_and_the_worst_is_shown_whole() -> None:
    """One that does not answer is a line too."""
    hosts = [
        host(statuses.consumer(), "http://a:9464"),
        host(statuses.holding(), "http://b:9464"),
        Host("http://c:9464", None, {}, "does not answer (connection refused)"),
    ]
    lines = shown(*hosts)
    assert lines[0].startswith("✗ 1 of 3 well; b:9464: holding, 1 of 2 shards hold")
    assert the(lines, "a:9464").split() == ["a:9464", "caught", "up", "0s", "6d23h", "512/s", "231ms"]
    assert the(lines, "c:9464").split() == ["c:9464", "no", "answer", "-", "-", "-", "-"]
    assert "http://b:9464" in lines


@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("made", [statuses.consumer, statuses.holding, statuses.moved])
def test_nothing_is_wider_than_the_terminal(made: Any, width: int) -> None:
    """In every state."""
    spill = {"events": 123_456, "bytes": 5_600_000, "oldestAgeS": 75.0, "failing": True}
    refuses = {"up": False, "code": "KMSDisabledException", "lastTriedAt": "2026-11-25T09:28:00.000Z"}
    ill = statuses.receiver(spill=spill, kinesis=refuses)
    lines = shown(host(made()), host(ill, RECEIVER, "receive"), width=width)
    assert max(map(len, lines)) <= width
    assert any("stream takes nothing" in line for line in lines)
    assert any("spilled events 123,456" in line for line in lines)


def test_a_host_without_events_lately_has_no_latency() -> None:
    """0 ms would be a very good one; in the line of each of several hosts as in the table of one."""
    none = dict.fromkeys(("count", "p50", "p90", "p95", "p99", "p999", "max"), 0.0)
    quiet = statuses.consumer(recent={"seconds": 300, "latenciesMs": {"received_to_accepted": none}})
    still = statuses.receiver(recent={"seconds": 300, "latenciesMs": {"answered": none}})
    lines = shown(host(quiet), host(statuses.consumer(), "http://b:9464"), host(still, RECEIVER, "receive"))
    assert not [line for line in lines if "0ms" in line.split()]


def without(value: Any, path: tuple[Any, ...]) -> Any:
    """A copy in which what stands at the path is not known."""
    if not path:
        return None
    if isinstance(value, list):
        return [without(one, path[1:]) if n == path[0] else one for n, one in enumerate(value)]
    return {key: without(one, path[1:]) if key == path[0] else one for key, one in value.items()}


def paths(value: Any, base: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, one in items for found in ((*base, key), *paths(one, (*base, key)))]


def test_whatever_a_version_does_not_tell_is_unknown_and_no_failure() -> None:
    """Each field of /status in turn is null: it is shown as -, and the rest as before."""
    for status, program in ((statuses.holding(), "consume"), (statuses.receiver(), "receive")):
        for path in paths(status):
            lines = shown(host(without(status, path), program=program))  # type: ignore[arg-type] # a literal
            assert len(lines) >= 3, path
    assert shown(host({"schema": "stream-router.status/9"}))[0] == "◐ UNKNOWN"


def ask(answer: Any, token: str = "") -> Host:
    (one,) = asyncio.run(command.ask([CONSUMER + "/"], token, httpx.MockTransport(answer)))
    return one


def test_the_token_is_sent_and_a_wrong_one_is_said() -> None:
    """With the cure."""

    def answer(request: httpx.Request) -> httpx.Response:
        good = request.headers.get("Authorization") == "Bearer right"
        return httpx.Response(200, json=statuses.consumer()) if good else httpx.Response(401)

    assert ask(answer, "right").program == "consume"
    wrong = ask(answer, "wrong")
    assert (wrong.program, wrong.status) == (None, {})
    assert "set STREAM_ROUTER_ADMIN_TOKEN" in wrong.error


def test_what_is_no_url_is_refused_in_one_line() -> None:
    """Exit 78, with the form."""
    with pytest.raises(SettingsError, match=r"^--url: 'host:9464' is no URL of an admin port; give http://HOST:PORT$"):
        command.run(load(Top), command.Options(True, False, ["host:9464"]))
