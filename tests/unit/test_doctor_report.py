"""How `doctor` shows what it found, and ends: lines, a table on a narrow terminal, JSON, exit codes, its deadline."""

import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from stream_router.checks.finding import Finding, Verdict
from stream_router.control.doctor import report, runner
from stream_router.control.doctor.catalogue import CHECKS, RUNBOOKS, Check, runbook
from stream_router.control.doctor.checks import cxone_check
from stream_router.control.doctor.runner import Result
from stream_router.control.doctor.world import World
from tests.environment import given

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("empty_environment")


def result(verdict: Verdict, code: str = "SR199") -> Result:
    finding = Finding(code, "SETTING", verdict, "a problem", "a cure")
    return Result(Check(code, "a thing", lambda _: finding), finding, 12.3)


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
    verdicts: Sequence[Verdict],
    code: int,
    last: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A known failure weighs more than what is not known; piped, each check is one line."""
    results = [result(verdict) for verdict in verdicts]
    assert report.status(results) == code
    report.show(results, code)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(results) + 1
    assert lines[-1] == last


def test_what_an_alarm_tells_too_names_its_runbook(capsys: pytest.CaptureFixture[str]) -> None:
    """Where something is wrong, in the line and in the JSON; the page is there; where all is well there is none."""
    for verdict, there in ((Verdict.WRONG, True), (Verdict.WARNING, True), (Verdict.WELL, False)):
        results = [result(verdict, "SR115")]
        report.show(results, 0)
        assert ("a cure (docs/runbooks/behind.md)" in capsys.readouterr().out) is there
        assert ("runbook" in json.loads(report.as_json(results, 0))["checks"][0]) is there
    codes = {check.code for check in CHECKS}
    for code in RUNBOOKS:
        assert code in codes
        assert (ROOT / runbook(code)).is_file()


def test_json_has_code_verdict_and_cure(capsys: pytest.CaptureFixture[str]) -> None:
    """For programs: everything that the lines say, and how long it took."""
    made = json.loads(report.as_json([result(Verdict.WRONG)], 1))
    assert made["status"] == 1
    assert made["verdict"].startswith("something is wrong")
    (check,) = made["checks"]
    assert check == {
        "code": "SR199",
        "about": "a thing",
        "verdict": "wrong",
        "setting": "SETTING",
        "says": "a problem",
        "cure": "a cure",
        "tookMs": 12,
    }


def test_a_check_that_hangs_does_not_hold_the_others_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the deadline it is unknown; one that breaks is unknown too, and said to be the check's own fault."""
    given(monkeypatch, {"AWS_REGION": "eu-west-1"})
    held = threading.Event()

    def hang(_: World) -> Finding:
        held.wait(20)
        raise AssertionError

    def break_down(_: World) -> Finding:
        raise KeyError("x")

    well = Finding("SR198", "", Verdict.WELL, "")
    checks = [
        Check("SR197", "hangs", hang, offline=True),
        Check("SR196", "breaks", break_down, offline=True),
        Check("SR198", "well", lambda _: well, offline=True),
    ]
    begun = time.monotonic()
    found = {one.check.code: one.finding for one in runner.run(checks, World(offline=True), deadline_s=2.0)}
    assert time.monotonic() - begun < 10
    held.set()
    assert [found[code].verdict for code in ("SR197", "SR196", "SR198")] == [
        Verdict.UNKNOWN,
        Verdict.UNKNOWN,
        Verdict.WELL,
    ]
    assert "no answer within" in found["SR197"].says
    assert "the check itself failed (KeyError)" in found["SR196"].says


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "DescribeRule"), Verdict.WARNING),
        (ClientError({"Error": {"Code": "ThrottlingException"}}, "DescribeRule"), Verdict.UNKNOWN),
        (EndpointConnectionError(endpoint_url="https://x"), Verdict.UNKNOWN),
    ],
)
def test_what_a_check_did_not_catch_is_judged_all_the_same(
    monkeypatch: pytest.MonkeyPatch, error: Exception, verdict: Verdict
) -> None:
    """Denied is a warning, no answer is unknown."""
    given(monkeypatch, {"AWS_REGION": "eu-west-1"})

    def fail(_: World) -> Finding:
        raise error

    (found,) = runner.run([Check("SR197", "fails", fail, offline=True)], World(offline=True))
    assert found.finding.verdict is verdict


def doctor(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "STREAM_ROUTER_", "SQS_"))}
    return subprocess.run(
        [sys.executable, "-m", "stream_router", "doctor", *arguments],
        env={**kept, "AWS_EC2_METADATA_DISABLED": "true", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_bad_settings_are_findings_and_never_78() -> None:
    """Without one setting it says all that is missing, and ends with 1."""
    done = doctor("--offline", "--json")
    assert done.returncode == 1
    checks: list[Any] = json.loads(done.stdout)["checks"]
    wrong = {check["code"]: check["setting"] for check in checks if check["verdict"] == "wrong"}
    assert wrong == {"SR001": "AWS_REGION", "SR002": "AWS_REGION", "SR003": "AWS_REGION"}


def test_a_host_that_only_receives_is_judged_by_that() -> None:
    """No dead-letter queue and no Java are asked for there."""
    settings = {
        "AWS_REGION": "eu-west-1",
        "STREAM_ROUTER_WEBHOOK_SCHEME": "hmac",
        "STREAM_ROUTER_WEBHOOK_SECRETS": "s" * 32,
    }
    done = doctor("receive", "--offline", **settings)
    assert done.returncode == 0, done.stdout
    assert "SR002" not in done.stdout
    assert doctor("consume", "--offline", **settings).returncode == 1


def test_an_unknown_word_is_refused() -> None:
    """As every command line error: 2, with what there is."""
    assert doctor("everything").returncode == 2


def test_a_narrow_terminal_shows_whole_lines() -> None:
    """At 60 columns nothing is cut off, and no line is longer."""
    main, other = pty.openpty()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "STREAM_ROUTER_", "SQS_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "stream_router", "doctor", "receive", "--offline"],
        env={**kept, "COLUMNS": "60", "NO_COLOR": "1", "TERM": "xterm"},
        stdout=other,
        stderr=subprocess.DEVNULL,
    )
    os.close(other)
    text = b""
    try:
        while part := os.read(main, 65536):
            text += part
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(main)
    assert process.wait(30) == 1
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text.decode()).replace("\r", "").splitlines()
    assert max(map(len, lines)) <= 60
    assert "set AWS_REGION, for example us-east-1" in " ".join(" ".join(lines).split())
    assert lines[-1].startswith("something is wrong: ")


@pytest.mark.parametrize(
    ("variable", "value", "code"),
    [
        ("AWS_PROFILE", "nope", "SR010"),
        ("AWS_ENDPOINT_URL", "http://[::1", "SR011"),
        ("AWS_CA_BUNDLE", "/nonexistent.pem", "SR001"),
    ],
)
def test_an_environment_that_cannot_be_used_is_a_finding_and_the_rest_waits(
    variable: str, value: str, code: str
) -> None:
    """Not one failure for each call that would be made, and never a traceback."""
    settings = {
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "STREAM_ROUTER_WEBHOOK_SCHEME": "hmac",
        "STREAM_ROUTER_WEBHOOK_SECRETS": "s" * 32,
        variable: value,
    }
    done = doctor("receive", "--json", **settings)
    assert done.returncode == 1, done.stdout
    found = {check["code"]: check for check in json.loads(done.stdout)["checks"]}
    assert found[code]["verdict"] == "wrong"
    assert found[code]["cure"]
    assert {check["verdict"] for check in found.values() if check["code"] != code} <= {
        *("well", "skipped"),
        *(("unknown",) if variable == "AWS_CA_BUNDLE" else ()),
    }
    assert "failed" not in json.dumps(found)


def test_cxone_that_does_not_answer_is_told_by_its_own_check() -> None:
    """Discovery and token, one after the other: else the deadline of all checks would end it, which knows no reason."""
    assert 2 * cxone_check.DEADLINE_S < runner.DEADLINE_S
