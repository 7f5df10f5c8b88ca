"""Table of all states: code, words, meaning for events, and cure.

Each program lists its troubles, and `judge` returns the verdict: the trouble whose row comes first. The log, `/status`,
`top`, the page, `health` and `doctor` show that verdict in the words of this table.
"""

import enum
import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

log = logging.getLogger(__name__)

START_S = 120.0
"""Seconds for which a consumer that reads no shard counts as starting."""


class Level(enum.StrEnum):
    """Severity of a state. Readers show a level that they do not know, of a later version, as a warning."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


class Code(enum.StrEnum):
    """Codes of the states, in order of precedence. They are part of the contract."""

    AWS_SILENT = "aws-silent"
    SPILL_DOWN = "spill-down"
    STREAM_DOWN = "stream-down"
    STREAM_PARTLY_DOWN = "stream-partly-down"
    STREAM_SLOW = "stream-slow"
    TARGET_BROKEN = "target-broken"
    DISK_FULL = "disk-full"
    DAEMON_REFUSED = "daemon-refused"
    SHARDS_UNREAD = "shards-unread"
    NO_ANSWER = "no-answer"
    HANGING = "hanging"
    HOLDING = "holding"
    CUT_OFF = "cut-off"
    MANY_DEAD_LETTERS = "many-dead-letters"
    CAREFUL = "careful"
    RESTARTING = "restarting"
    DRAINING = "draining"
    BACK_PRESSURE = "back-pressure"
    CATCHING_UP = "catching-up"
    STARTING = "starting"
    WELL = "well"


class StateText(NamedTuple):
    """A row of the table. `runbook` is a page of docs/runbooks; "" if no alarm leads to the state."""

    words: str
    level: Level
    meaning: str
    cure: str
    runbook: str = ""


TABLE: Mapping[Code, StateText] = {
    Code.AWS_SILENT: StateText(
        "AWS gives no answer",
        Level.BAD,
        "Accepted events wait in the stream or in the spill; none is lost. Without a spill senders are answered 503.",
        "Check the network and the endpoint, then the health of AWS. Nothing has to be restarted.",
        "holding",
    ),
    Code.SPILL_DOWN: StateText(
        "the spill takes no events",
        Level.BAD,
        "While the stream takes no events either, senders are answered 503.",
        "Make room, or remove the cause that the reason names.",
        "spill",
    ),
    Code.STREAM_DOWN: StateText(
        "the stream takes no events",
        Level.BAD,
        "New events wait in the spill, and no accepted event is lost. Without a spill senders are answered 503.",
        "Remove the cause that AWS's code in the reason names.",
        "spill",
    ),
    Code.STREAM_PARTLY_DOWN: StateText(
        "part of the stream takes no events",
        Level.BAD,
        "Some conversations wait in the spill, or their senders are answered 503. No accepted event is lost.",
        "`stream-router shards` shows how full each shard is; the log has AWS's code.",
        "spill",
    ),
    Code.STREAM_SLOW: StateText(
        "the stream is slow",
        Level.WARN,
        "Events go through the spill and arrive later. Without a spill senders are answered 503.",
        "Check the network to Kinesis, its health, and how full the shards are (`stream-router shards`).",
        "spill",
    ),
    Code.TARGET_BROKEN: StateText(
        "bus or rule do not take our events",
        Level.BAD,
        "Nothing is published, and no event is lost. Events wait in the stream.",
        "Run `stream-router setup`.",
        "rule-unmatched",
    ),
    Code.DISK_FULL: StateText(
        "a disk is full",
        Level.BAD,
        "No event is lost. No checkpoint is taken, so after a restart events are published a second time.",
        "Make room on the disk that the reason names.",
    ),
    Code.DAEMON_REFUSED: StateText(
        "AWS refuses the KCL daemon's calls",
        Level.BAD,
        "Shards that need the call are not read. Their events wait in the stream, and none is lost.",
        "Grant what the reason names: `stream-router setup --policy consume` prints all that the role needs. Nothing "
        "has to be restarted.",
        "unread-shards",
    ),
    Code.SHARDS_UNREAD: StateText(
        "a shard is not read",
        Level.BAD,
        "Its events wait in the stream. None is lost within the stream's retention.",
        "After a start wait two minutes. If it lasts, start more consumers.",
        "unread-shards",
    ),
    Code.NO_ANSWER: StateText(
        "a program does not answer",
        Level.BAD,
        "Without a receiver senders get no answer. Without a consumer accepted events wait in the stream.",
        "Start the program, or see its log. With `--url` name only the ports of programs that should run.",
        "no-data",
    ),
    Code.HANGING: StateText(
        "a process hangs",
        Level.BAD,
        "Its events wait in the stream, and none is lost. A daemon whose child hangs is replaced after three minutes.",
        "End the process that the log names, with `kill -KILL`.",
        "restarts",
    ),
    Code.HOLDING: StateText(
        "a shard holds",
        Level.BAD,
        "The shard publishes nothing, and no event is lost. Events wait in the stream.",
        "Remove the cause that the reason names; the shard then continues by itself.",
        "holding",
    ),
    Code.CUT_OFF: StateText(
        "AWS refuses the checks of stream and lease table",
        Level.BAD,
        "This host reads no shard, and does not know whether others do. Events wait in the stream; none is lost.",
        "Grant the call that the log names, or wait.",
        "holding",
    ),
    Code.MANY_DEAD_LETTERS: StateText(
        "many dead letters",
        Level.WARN,
        "Events become dead letters because of their data or a setting. The other events go on.",
        "If the data is wrong, correct the sender. If a setting is wrong, correct it, restart `consume`, then run "
        "`stream-router replay --since TIME` or `dlq redrive`.",
        "dead-letters",
    ),
    Code.CAREFUL: StateText(
        "one event at a time",
        Level.WARN,
        "A child died repeatedly at one place of the stream. It opens events one by one until that place is passed.",
        "Wait. Then inspect the dead letter with the reason `crashed`.",
        "restarts",
    ),
    Code.RESTARTING: StateText(
        "restarting",
        Level.WARN,
        "Events wait in the stream for some seconds.",
        "Nothing has to be done. If it repeats, see the log.",
        "restarts",
    ),
    Code.DRAINING: StateText(
        "draining",
        Level.WARN,
        "The program is stopping on request. It finishes the work in progress.",
        "Nothing has to be done.",
    ),
    Code.BACK_PRESSURE: StateText(
        "back-pressure",
        Level.WARN,
        "The limit of events in flight is reached. Further events wait in the stream for a moment.",
        "Nothing has to be done. If it lasts, find the slow part (docs/runbooks/behind.md).",
        "behind",
    ),
    Code.CATCHING_UP: StateText(
        "catching up",
        Level.WARN,
        "Events are older than 10 s before they are published.",
        "Wait. If the lag grows, add consumers or shards.",
        "behind",
    ),
    Code.STARTING: StateText(
        "starting",
        Level.WARN,
        "Nothing is processed yet. Accepted events wait in the stream.",
        "Wait two minutes.",
    ),
    Code.WELL: StateText("well", Level.GOOD, "Events go through.", "Nothing has to be done."),
}
"""Texts of all states, in order of precedence."""

_EXPECTED = (Code.WELL, Code.STARTING, Code.DRAINING)
"""States that every start and stop passes through: no warnings."""

_RANK = {code: rank for rank, code in enumerate(TABLE)}


class Condition(NamedTuple):
    """A state that a program finds itself in. `since_s` is epoch seconds; None if the beginning is unknown."""

    code: Code
    reason: str = ""
    since_s: float | None = None
    meaning: str = ""
    """Replaces the table's meaning if it is not empty; `cure` likewise."""
    cure: str = ""


class Verdict(NamedTuple):
    """State with the highest precedence, its beginning (epoch seconds), and its reason."""

    code: Code
    since_s: float
    reason: str
    meaning: str
    cure: str

    @property
    def words(self) -> str:
        """Words of the state in the table."""
        return TABLE[self.code].words

    @property
    def level(self) -> Level:
        """Level of the state in the table."""
        return TABLE[self.code].level

    def probe_words(self, *, healthy: bool) -> str:
        """Return the words for a platform's health check. `healthy` is False only if a restart would help."""
        name = self.words if self.words == self.code else f"{self.code}: {self.words}"
        return name + ("" if healthy else "; unhealthy, a restart is needed")

    def fields(self) -> dict[str, Any]:
        """Return the verdict for `Snapshot.states`, from which `/status` is made."""
        return {
            "code": self.code.value,
            "state": self.words,
            "level": self.level.value,
            "sinceS": self.since_s,
            "reason": self.reason or None,
            "meaning": self.meaning,
            "cure": self.cure,
        }


def judge(conditions: Iterable[Condition], at_s: float, before: Verdict | None = None) -> Verdict:
    """Return the verdict at the time `at_s` (epoch seconds): the condition whose row comes first, or WELL.

    A state that continues keeps its beginning from the verdict `before`.
    """
    first = min(conditions, key=lambda condition: _RANK[condition.code], default=Condition(Code.WELL))
    since_s = at_s if first.since_s is None else first.since_s
    if before is not None and before.code is first.code:
        since_s = min(since_s, before.since_s)
    row = TABLE[first.code]
    return Verdict(first.code, since_s, first.reason, first.meaning or row.meaning, first.cure or row.cure)


class VerdictLog:
    """Log of each change of a program's verdict."""

    def __init__(self) -> None:
        self._latest: Verdict | None = None

    def note(self, verdict: Verdict, at_s: float) -> None:
        """Log the verdict if its code differs from that of the verdict before."""
        before, self._latest = self._latest, verdict
        if before is not None and before.code is verdict.code:
            return
        log.log(
            logging.INFO if verdict.code in _EXPECTED else logging.WARNING,
            "%s%s. %s %s",
            verdict.words,
            f": {verdict.reason}" if verdict.reason else "",
            verdict.meaning,
            verdict.cure,
            extra={
                "event": "verdict",
                "code": verdict.code.value,
                "before": before.code.value if before else None,
                "before_s": round(at_s - before.since_s, 1) if before else None,
            },
        )


# --- for readers of `/status`


def no_answer(place: str, error: str) -> dict[str, Any]:
    """Return the verdict on a program that does not answer, with the fields of `/status`.

    `place` is the address of its admin port, and `error` says what happened there.
    """
    verdict = judge([Condition(Code.NO_ANSWER, f"{place} {error}")], 0.0)
    return {**verdict.fields(), "since": None}


def level_of(status: Mapping[str, Any]) -> Level:
    """Return the level of a `/status`, or of a shard in it; a warning if it is unknown here."""
    try:
        return Level(str(status.get("level")))
    except ValueError:
        return Level.WARN


def rank_of(status: Mapping[str, Any]) -> float:
    """Return the rank of a verdict in the table. The lowest is the worst.

    A code of a later version ranks before the first code of its level.
    """
    code = str(status.get("code"))
    if code in _RANK:
        return _RANK[Code(code)]
    level = level_of(status)
    return min(rank for code, rank in _RANK.items() if TABLE[code].level is level) - 0.5


def sentence(status: Mapping[str, Any], since: str) -> str:
    """Return a verdict as one line: words, code, beginning and reason."""
    words, code = status.get("state") or "unknown", status.get("code")
    line = str(words)
    if code != words:
        line += f" ({code})"
    if since:
        line += f" since {since}"
    if status.get("reason"):
        line += f": {status['reason']}"
    return line


def runbook_of(code: str) -> str:
    """Return the page of docs/runbooks for a code; "" if it has none."""
    return TABLE[Code(code)].runbook if code in _RANK else ""
