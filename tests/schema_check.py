"""Holds what tests emit against docs/schemas: every Detail, dead letter, audit record, status, hour and demo report.

Installed for a whole session by tests/conftest.py: the places where the product makes such objects are wrapped, and
what other processes sent is looked at where the fake AWS's ledger, or an audit file, is read.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from stream_router.consumer.supervisor.history import History
from stream_router.local import report
from stream_router.pipeline.sinks.dead_letters.message import LetterMessage, LetterWriter
from stream_router.pipeline.transform import Transform
from stream_router.telemetry import audit, status
from tests.fakeaws.process import FakeAwsProcess
from tests.system.world import World

FOLDER = Path(__file__).parent.parent / "docs" / "schemas"
NO_LETTERS = ("-undelivered", "/plain")
"""Queues of something else: of EventBridge's own dead letters, and of the tests of queues."""

fake_aws_gets_ours = True
"""False while a test of the wire sends entries of its own making."""

NAMES = ("detail", "dead-letter", "audit-record", "status", "history", "demo")


@cache
def validator(name: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json.loads((FOLDER / f"{name}.json").read_text("utf-8")))


def conforms(name: str, created: Any) -> None:
    """Fails where the object is not as its schema says."""
    validator(name).validate(created)


def read(text: str | bytes) -> Any:
    """Its JSON value; numbers as texts where Python would take for ever, None where it nests too deep for Python."""
    try:
        return json.loads(text, parse_int=_whole)
    except RecursionError:
        return None


def _whole(text: str) -> int | str:
    return int(text) if len(text) < 20 else text


def _text_conforms(name: str, text: str | bytes) -> None:
    if (result := read(text)) is not None:
        conforms(name, result)


def _wrap(patch: pytest.MonkeyPatch, owner: Any, name: str, check: Callable[[Any, tuple[Any, ...]], object]) -> None:
    """`check` sees what the function returned, and its arguments."""
    original = getattr(owner, name)

    def checked(*args: Any, **named: Any) -> Any:
        result = original(*args, **named)
        check(result, args)
        return result

    patch.setattr(owner, name, checked)


def _letters(created: list[LetterMessage], _: tuple[Any, ...]) -> None:
    for message in created:
        _text_conforms("dead-letter", message.body)


def _ledger(_: Any, args: tuple[Any, ...]) -> None:
    fake_aws: FakeAwsProcess = args[0]
    for line in fake_aws._lines[getattr(fake_aws, "checked", 0) :]:
        if "payload" not in line or line["verdict"] != "accepted" or not fake_aws_gets_ours:
            continue
        if line["operation"] == "SendMessageBatch" and not line["target"].endswith(NO_LETTERS):
            _text_conforms("dead-letter", line["payload"])
        elif line["operation"].startswith("PutEvents"):
            _text_conforms("detail", line["payload"])
    fake_aws.checked = len(fake_aws._lines)  # type: ignore[attr-defined]


def _drained(created: list[dict[str, Any]], _: tuple[Any, ...]) -> None:
    """What came out at the rule's target, or into the dead-letter queue."""
    for body in created:
        if str(body.get("schema", "")).startswith("stream-router.dead-letter/"):
            conforms("dead-letter", body)
        elif body.get("source") == "nice.cxone.webhook":
            conforms("detail", body["detail"])


def _verified(created: audit.Result, args: tuple[Any, ...]) -> None:
    """The lines that hold, whoever wrote them."""
    for line in Path(args[0]).read_bytes().splitlines()[: created.lines]:
        _text_conforms("audit-record", line)


def install(patch: pytest.MonkeyPatch) -> None:
    """From now on everything that is emitted is checked."""
    _wrap(patch, Transform, "_build_entry", lambda result, _: _text_conforms("detail", result.detail))
    for name in ("write", "write_parts"):
        _wrap(patch, LetterWriter, name, _letters)
    _wrap(patch, audit.AuditLog, "_sealed", lambda result, _: _text_conforms("audit-record", result))
    _wrap(patch, status, "status", lambda result, _: conforms("status", result))
    _wrap(patch, History, "page", lambda result, _: _text_conforms("history", result))
    _wrap(patch, report, "as_json", lambda result, _: conforms("demo", result))
    _wrap(patch, FakeAwsProcess, "_read_on", _ledger)
    _wrap(patch, World, "drain", _drained)
    _wrap(patch, audit, "verify", _verified)
