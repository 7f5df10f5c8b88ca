"""`doctor` itself: its exit codes, its deadline, what it makes of AWS's silence; and what it says of leases and lag."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from stream_router import checks
from stream_router.aws import credentials, secret_store
from stream_router.checks import Finding, Verdict, ok
from stream_router.errors import SettingsError
from stream_router.operate.doctor import command, host, probe, stream
from stream_router.operate.doctor.world import Check, Subject, World
from tests.environment import CONSUMER, given

pytestmark = pytest.mark.usefixtures("empty_environment")

ROOT = Path(__file__).parents[2]
RECEIVE = {
    "AWS_REGION": "us-east-1",
    "STREAM_ROUTER_WEBHOOK_SCHEME": "hmac",
    "STREAM_ROUTER_WEBHOOK_SECRETS": "s" * 32,
}
KEYS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
DENIED = ClientError({"Error": {"Code": "AccessDeniedException"}}, "Scan")
THROTTLED = ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "Scan")
SILENT = EndpointConnectionError(endpoint_url="https://x")
GONE = ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "Scan")


# --- how it ends, and what it shows


@pytest.mark.parametrize(
    ("verdicts", "code", "last"),
    [
        ([Verdict.WELL, Verdict.SKIPPED], 0, "well: 1 ok, 1 not asked"),
        ([Verdict.WELL, Verdict.WARNING], 0, "well: 1 warning, 1 ok"),
        ([Verdict.UNKNOWN, Verdict.WARNING], 2, "cannot judge: 1 warning, 1 unknown, 0 ok"),
        ([Verdict.WRONG, Verdict.WRONG, Verdict.UNKNOWN], 1, "something is wrong: 2 failures, 1 unknown, 0 ok"),
    ],
)
def test_the_verdict_is_the_last_line_and_the_exit_status(
    verdicts: Sequence[Verdict], code: int, last: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A known failure weighs more than what is not known; each finding is one line, however long."""
    found = [Finding("SR115", "SETTING", verdict, "a problem " * 20, "a\ncure") for verdict in verdicts]
    assert command.status(found) == code
    command.show(found, code)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(found) + 1
    assert lines[-1] == last
    assert all("; a cure" in line for line in lines[:-1])


def test_what_an_alarm_tells_too_names_its_runbook() -> None:
    """Where something is wrong; the page is there; where all is well there is none."""
    for verdict, there in ((Verdict.WRONG, True), (Verdict.WARNING, True), (Verdict.WELL, False)):
        (shown,) = json.loads(command.told_as_json([Finding("SR115", "S", verdict, "late", "start it")], 1))["checks"]
        assert shown.pop("runbook", None) == ("docs/runbooks/behind.md" if there else None)
        wanted = {"code": "SR115", "about": "lag", "verdict": verdict.value, "setting": "S", "says": "late"}
        assert shown == {**wanted, "cure": "start it"}
    pages = {*host.PAGES.values(), *(check.runbook for check in command.CHECKS.values() if check.runbook)}
    assert not [page for page in pages if not (ROOT / "docs" / "runbooks" / f"{page}.md").is_file()]


def doctor(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command itself, with no setting but these."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "stream_router", "doctor", *arguments],
        env={**kept, "AWS_EC2_METADATA_DISABLED": "true", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_bad_settings_are_findings_and_never_78() -> None:
    """All that is wrong is said at once, each once."""
    done = doctor("--offline", "--json", STREAM_ROUTER_SPILL_MAX_BYTES="-1", STREAM_ROUTER_CHECKPOINT_S="never")
    assert done.returncode == 1
    wrong = [(one["code"], one["setting"]) for one in json.loads(done.stdout)["checks"] if one["verdict"] == "wrong"]
    assert wrong[:2] == [("SR001", "AWS_REGION"), ("SR001", "STREAM_ROUTER_SPILL_MAX_BYTES")]
    assert ("SR002", "STREAM_ROUTER_CHECKPOINT_S") in wrong
    assert ("SR002", "AWS_REGION") not in wrong
    alone = doctor("receive", "--offline", **RECEIVE)
    assert (alone.returncode, "SR002" in alone.stdout) == (0, False), alone.stdout


# --- how it looks


@pytest.mark.parametrize(
    ("error", "verdict", "says"),
    [
        (KeyError("x"), Verdict.UNKNOWN, "could not be judged (KeyError)"),
        (DENIED, Verdict.WARNING, "AccessDeniedException"),
        (THROTTLED, Verdict.UNKNOWN, "ProvisionedThroughputExceededException"),
        (SILENT, Verdict.UNKNOWN, "gave no answer at x"),
        (SettingsError("AWS_CA_BUNDLE: is no file; name one"), Verdict.WRONG, "is no file"),
    ],
)
def test_what_a_look_raises_is_the_trouble_of_one_check(
    monkeypatch: pytest.MonkeyPatch, error: Exception, verdict: Verdict, says: str
) -> None:
    """Of the one that it was at: those before it stand, those after it wait for it."""
    given(monkeypatch, {"AWS_REGION": "eu-west-1"})

    def look(_: World) -> Iterator[Finding]:
        yield ok("SR101", "there")
        raise error

    checks = {code: Check(f"thing {code}") for code in ("SR101", "SR105", "SR160")}
    found = command.look(World(), [Subject(checks, look, aws=False)])
    assert [(one.code, one.verdict) for one in found] == [
        ("SR101", Verdict.WELL),
        ("SR105", verdict),
        ("SR160", Verdict.SKIPPED),
    ]
    assert says in found[1].says
    assert found[1].cure
    assert found[2].says == "waits for SR105"


# --- settings, as far as the programs themselves would say


@pytest.mark.parametrize(
    ("raised", "verdict", "says"),
    [
        (
            secret_store.SecretUnreadableError("ThrottlingException", outage=True),
            Verdict.UNKNOWN,
            "ThrottlingException",
        ),
        (secret_store.SecretUnreadableError("ParameterNotFound"), Verdict.WRONG, "ParameterNotFound"),
        (credentials.CredentialsError("AWS credentials: none found; set some"), Verdict.SKIPPED, "waits for SR010"),
    ],
)
def test_a_secret_of_aws_that_cannot_be_asked_for_is_no_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, verdict: Verdict, says: str
) -> None:
    """AWS that is silent says nothing of a setting, and of missing credentials SR010 tells."""

    def fetch(*_: object) -> str:
        raise raised

    monkeypatch.setattr(secret_store, "fetch", fetch)
    key = {"STREAM_ROUTER_MASKING": "default", "STREAM_ROUTER_MASKING_KEY": "ssm:/key"}
    given(monkeypatch, {**RECEIVE, **CONSUMER, **key, "STREAM_ROUTER_WEBHOOK_SECRETS": "ssm:/secret"})
    found = {one.code: one for one in host.SETTINGS.look(World())}
    for code in ("SR001", "SR002"):
        assert found[code].verdict is verdict, found[code]
        assert says in found[code].says or found[code].verdict is Verdict.SKIPPED
    monkeypatch.setattr(secret_store, "fetch", lambda *_: pytest.fail("asked for the secret"))
    offline = {one.code: one.verdict for one in host.SETTINGS.look(World(offline=True))}
    assert (offline["SR001"], offline["SR002"]) == (Verdict.WELL, Verdict.WELL)


def test_a_folder_that_can_be_written_is_well_and_nothing_is_left_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One that is not there yet is not made: `consume` makes it."""
    there, later = tmp_path / "there", tmp_path / "later" / "deeper"
    there.mkdir()
    monkeypatch.chdir(tmp_path)
    for audit in (str(later), "-"):  # which is standard error, and no folder
        folders = {"STREAM_ROUTER_STATE_DIR": str(there), "STREAM_ROUTER_AUDIT_DIR": audit}
        given(monkeypatch, {**CONSUMER, **folders})
        found = {one.code: one.verdict for one in host.SETTINGS.look(World("consume", offline=True))}
        assert found["SR002"] is Verdict.WELL
        assert list(tmp_path.rglob("*")) == [there]


# --- leases and lag, told by a script


class Aws:
    """A world whose stream and lease table are told look by look; the last look lasts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        given(monkeypatch, {**KEYS, "AWS_REGION": "eu-west-1"})
        self.world = World(wait=lambda _: None)
        self.shards: list[dict[str, Any]] = [{"ShardId": "s0", "SequenceNumberRange": {"EndingSequenceNumber": "9"}}]
        for name in ("s1", "s2"):
            self.shards.append({"ShardId": name, "ParentShardId": "s0", "SequenceNumberRange": {}})
        self.looks: list[list[dict[str, Any]] | Exception] = []
        self.late_ms: dict[str, int | Exception] = {}
        monkeypatch.setattr(World, "client", lambda *_: self)
        monkeypatch.setattr(checks, "lease_table", lambda *_: ok("SR105", ""))

    def get_paginator(self, _: str) -> "Aws":
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        rows = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(rows, Exception):
            raise rows
        half = len(rows) // 2
        return [{"Items": rows[:half]}, {"Items": [{"leaseKey": {"S": "leader"}}, *rows[half:]]}]

    def list_shards(self, **_: Any) -> dict[str, Any]:
        return {"Shards": self.shards}

    def describe_stream_summary(self, **_: Any) -> dict[str, Any]:
        return {"StreamDescriptionSummary": {"RetentionPeriodHours": 168}}

    def get_shard_iterator(self, **asked: Any) -> dict[str, Any]:
        return {"ShardIterator": asked["ShardId"]}

    def get_records(self, *, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803
        late = self.late_ms.get(ShardIterator, 0)
        if isinstance(late, Exception):
            raise late
        return {"Records": [], "MillisBehindLatest": late}

    def look(self, *looks: list[dict[str, Any]] | Exception) -> dict[str, Finding]:
        self.looks = list(looks)
        return {one.code: one for one in stream.LEASES.look(self.world)}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    return Aws(monkeypatch)


def row(shard: str, checkpoint: str = "123", owner: str = "worker-1", counter: int = 1) -> dict[str, Any]:
    made = {"leaseKey": {"S": shard}, "checkpoint": {"S": checkpoint}, "leaseCounter": {"N": str(counter)}}
    return {**made, **({"leaseOwner": {"S": owner}} if owner else {})}


BOTH = [row("s1"), row("s2")]
MOVED = [row("s1", counter=2), row("s2", counter=2)]
OWNERLESS = [row("s1", owner=""), row("s2")]


@pytest.mark.parametrize(
    ("looks", "verdict", "says"),
    [
        ([BOTH, MOVED], Verdict.WELL, "2 leases, 1 workers: worker-1"),
        ([BOTH, BOTH], Verdict.WRONG, "2 of 2 shards are read by nobody (s1: lease does not move, s2: "),
        ([OWNERLESS, OWNERLESS], Verdict.WRONG, "read by nobody (s1: no owner, s2: "),
        ([OWNERLESS, [row("s1", owner="other"), row("s2", counter=2)]], Verdict.WELL, "2 workers: other, worker-1"),
        ([[], [], [row("s0", "TRIM_HORIZON")]], Verdict.WELL, "1 leases"),
        ([BOTH, *[THROTTLED] * 7], Verdict.UNKNOWN, "cannot be read (Provisioned"),
        ([BOTH, *[THROTTLED] * 6, [row("s1", counter=2), row("s2")]], Verdict.WRONG, "(s2: lease does not move)"),
        ([GONE], Verdict.WARNING, "there is no lease table"),
        ([DENIED], Verdict.WARNING, "cannot be read (AccessDenied"),
    ],
    ids=[
        *("renewed", "a dead worker", "no owner", "changes hands", "just being made"),
        *("throttled at last", "throttled in between", "no table", "no right"),
    ],
)
def test_unread_shards_are_known_by_several_looks(
    aws: Aws, looks: list[list[dict[str, Any]] | Exception], verdict: Verdict, says: str
) -> None:
    """SR160: by the supervisor's own judge; one look accuses nobody, and a look that is refused is none."""
    found = aws.look(*looks)["SR160"]
    assert found.verdict is verdict, found
    assert says in found.says
    assert found.verdict is Verdict.WELL or found.cure


@pytest.mark.parametrize(
    ("late_ms", "verdict", "says"),
    [
        ({}, Verdict.WELL, "0 s behind at s1"),
        ({"s2": 400_000}, Verdict.WARNING, "400 s behind at s2"),
        ({"s2": 100 * 3600_000}, Verdict.WRONG, "events are lost 68 hours from now"),
        ({"s1": THROTTLED}, Verdict.UNKNOWN, "the lag of s1 could not be asked for"),
        ({"s1": DENIED}, Verdict.WARNING, "the lag of s1 may not be looked at"),
        ({"s1": GONE}, Verdict.WELL, "0 s behind at s2"),
        ({"s1": THROTTLED, "s2": 400_000}, Verdict.WARNING, "400 s behind at s2"),
    ],
)
def test_the_lag_is_that_of_the_worst_shard(
    aws: Aws, late_ms: dict[str, int | Exception], verdict: Verdict, says: str
) -> None:
    """SR115: one that cannot be read is not called well, and one that is gone has no lag."""
    aws.late_ms = late_ms
    found = aws.look([row("s0", "SHARD_END", owner=""), *BOTH], MOVED)["SR115"]
    assert (found.verdict, says in found.says) == (verdict, True), found


# --- the clock


def test_a_refusal_s_time_tells_the_clock_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """SR013: a clock so wrong that the call is refused for it."""
    given(monkeypatch, {**KEYS, "AWS_REGION": "eu-west-1"})

    class Sts:
        def get_caller_identity(self) -> Any:
            meta = {"HTTPHeaders": {"date": "Wed, 25 Nov 2026 10:00:00 GMT"}}
            raise ClientError({"Error": {"Code": "RequestExpired"}, "ResponseMetadata": meta}, "GetCallerIdentity")  # type: ignore[typeddict-item]

    monkeypatch.setattr(World, "client", lambda *_: Sts())
    found = {one.code: one for one in host.ACCOUNT.look(World(now_s=lambda: 1_795_600_800.0 + 600))}
    assert found["SR010"].verdict is Verdict.WRONG
    assert found["SR013"].verdict is Verdict.WRONG
    assert found["SR013"].says.startswith("600 s ahead of AWS")


# --- the probe, where something on its way breaks


@pytest.mark.parametrize(
    ("before", "after", "verdicts", "says"),
    [
        (SILENT, None, "unknown skipped skipped", "gave no answer at x (EndpointConnectionError)"),
        (DENIED, None, "unknown skipped skipped", "may not be looked at (AccessDeniedException)"),
        (None, DENIED, "well well unknown", "may be left"),
    ],
)
def test_whatever_breaks_on_the_probes_way_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, before: Exception | None, after: Exception | None, verdicts: str, says: str
) -> None:
    """The report of the other checks is not lost, and of a rule that cannot be taken away it is told to look."""
    given(monkeypatch, RECEIVE)

    @contextmanager
    def caught(*_: Any) -> Iterator[str]:
        if before:
            raise before
        yield "url"
        if after:
            raise after

    monkeypatch.setattr(probe, "_caught", caught)
    monkeypatch.setattr(probe, "_follow", lambda *_: [ok(code, "came through") for code in probe.CHECKS])
    found = probe.run(World(), "http://127.0.0.1:9/")
    assert [one.code for one in found] == [*probe.CHECKS]
    assert " ".join(one.verdict.value for one in found) == verdicts
    assert any(says in one.says for one in found)


def test_the_page_has_every_check_and_no_other() -> None:
    """By its code."""
    page = (ROOT / "docs" / "doctor.md").read_text("utf-8")
    rows = "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| SR"))
    told = re.findall(r"SR\d{3}", rows)
    assert sorted(told) == sorted(command.CHECKS)
