"""`doctor` where no emulator shows it: what it makes of AWS's silence, of leases by several looks, of lag."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from stream_router import checks
from stream_router.aws import credentials, secret_store
from stream_router.checks import CheckVerdict, Finding, ok
from stream_router.errors import SettingsError
from stream_router.operate.doctor import command, host, stream
from stream_router.operate.doctor.world import Check, Subject, World
from tests.environment import CONSUMER, set_environment
from tests.fakeaws.in_process import Answer, InProcess
from tests.fakeaws.kinesis import shard_of
from tests.leases import lease_row

pytestmark = pytest.mark.usefixtures("empty_environment")

WELL, WARNING, UNKNOWN = CheckVerdict.OK, CheckVerdict.WARNING, CheckVerdict.UNKNOWN
WRONG, SKIPPED = CheckVerdict.WRONG, CheckVerdict.SKIPPED
RECEIVE = {"AWS_REGION": "us-east-1", "STREAM_ROUTER_WEBHOOK_SCHEME": "hmac"}
KEYS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
DENIED, THROTTLED = "AccessDeniedException", "ProvisionedThroughputExceededException"
GONE = "ResourceNotFoundException"
SILENT = EndpointConnectionError(endpoint_url="https://x")


@pytest.mark.parametrize(
    ("error", "verdict", "says"),
    [
        (KeyError("x"), UNKNOWN, "could not be judged (KeyError)"),
        *(
            (ClientError({"Error": {"Code": code}}, "Scan"), verdict, code)
            for code, verdict in ((DENIED, WARNING), (THROTTLED, UNKNOWN))
        ),
        (SILENT, UNKNOWN, "gave no answer at x"),
        (SettingsError("AWS_CA_BUNDLE", "is not a file", "name one"), WRONG, "is not a file"),
    ],
)
def test_what_a_look_raises_is_the_trouble_of_one_check(
    monkeypatch: pytest.MonkeyPatch, error: Exception, verdict: CheckVerdict, says: str
) -> None:
    """Of the one that it was at: those before it stand, those after it wait for it."""
    set_environment(monkeypatch, {"AWS_REGION": "eu-west-1"})

    def look(_: World) -> Iterator[Finding]:
        yield ok("SR101", "there")
        raise error

    asked = {code: Check(f"thing {code}") for code in ("SR101", "SR105", "SR160")}
    before, at, after = command.run_checks(World(), [Subject(asked, look, aws=False)])
    assert [before.verdict, at.verdict, after.verdict] == [WELL, verdict, SKIPPED]
    assert command.status([before, at, after]) == {WRONG: 1, UNKNOWN: 2}.get(verdict, 0)
    assert (at.code, says in at.observation, bool(at.cure), after.observation) == (
        "SR105",
        True,
        True,
        "waits for SR105",
    )


def test_a_finding_is_one_line_that_drives_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """However long it is, and whatever somebody answered; it names the runbook that goes on where the cure ends."""
    command.show([Finding("SR115", "S", WRONG, "a problem " * 20, "a\n\x1b[31mcure")], 1)
    line, _ = capsys.readouterr().out.splitlines()
    assert line.endswith("; a  [31mcure (docs/runbooks/behind.md)")


@pytest.mark.parametrize(
    ("raised", "verdict", "says"),
    [
        (secret_store.SecretUnreadableError("ThrottlingException", is_outage=True), UNKNOWN, "ThrottlingException"),
        (secret_store.SecretUnreadableError("ParameterNotFound"), WRONG, "ParameterNotFound"),
        (credentials.CredentialsError("none found", "set some"), SKIPPED, "waits for SR010"),
    ],
)
def test_a_secret_of_aws_that_cannot_be_asked_for_is_no_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, verdict: CheckVerdict, says: str
) -> None:
    """AWS that is silent says nothing of a setting, and of missing credentials SR010 tells; offline nobody asks."""
    key = {"STREAM_ROUTER_MASKING": "default", "STREAM_ROUTER_MASKING_KEY": "ssm:/key"}
    set_environment(monkeypatch, {**RECEIVE, **CONSUMER, **key, "STREAM_ROUTER_WEBHOOK_SECRETS": "ssm:/secret"})
    for offline, wanted in ((True, WELL), (False, verdict)):
        asked = []

        def fetch(*_: object) -> str:
            asked.append(1)  # noqa: B023 - called in this round alone
            raise raised

        monkeypatch.setattr(secret_store, "fetch", fetch)
        result = {row.code: row for row in host.SETTINGS.check(World(offline=offline))}
        assert (result["SR001"].verdict, result["SR002"].verdict) == (wanted, wanted)
        assert bool(asked) is not offline
    assert says in result["SR001"].observation


def test_a_folder_that_can_be_written_is_well_and_nothing_is_left_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One that is not there yet is not made: `consume` makes it."""
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.chdir(tmp_path)
    for audit in (str(tmp_path / "later"), "-"):  # which is standard error, and no folder
        folders = {"STREAM_ROUTER_STATE_DIR": str(there), "STREAM_ROUTER_AUDIT_DIR": audit}
        set_environment(monkeypatch, {**CONSUMER, **folders})
        result = {
            check_result.code: check_result.verdict
            for check_result in host.SETTINGS.check(World("consume", offline=True))
        }
        assert (result["SR002"], list(tmp_path.rglob("*"))) == (WELL, [there])


BOTH = [lease_row("s1"), lease_row("s2")]
MOVED = [lease_row("s1", counter=2), lease_row("s2", counter=2)]
OWNERLESS = [lease_row("s1", owner=""), lease_row("s2")]
FINISHED = lease_row("s0", "SHARD_END", owner="")
READ = [[FINISHED, *BOTH], MOVED]


@pytest.mark.parametrize(
    ("code", "looks", "late_ms", "verdict", "says"),
    [
        ("SR160", [BOTH, MOVED], {}, WELL, "2 leases, 1 workers: worker-1"),
        ("SR160", [BOTH, BOTH], {}, WRONG, "2 of 2 shards are read by nobody (s1: lease does not move, s2: "),
        ("SR160", [OWNERLESS, OWNERLESS], {}, WRONG, "read by nobody (s1: no owner, s2: "),
        ("SR160", [OWNERLESS, [lease_row("s1", owner="other"), MOVED[1]]], {}, WELL, "2 workers: other, worker-1"),
        ("SR160", [[], [], [lease_row("s0", "TRIM_HORIZON")]], {}, WELL, "1 leases"),
        ("SR160", [[FINISHED, *BOTH], [FINISHED, *MOVED]], {}, WELL, "2 leases, 1 workers: worker-1"),
        ("SR160", [BOTH, *[THROTTLED] * 7], {}, UNKNOWN, "cannot be read (Provisioned"),
        ("SR160", [BOTH, *[THROTTLED] * 6, [MOVED[0], BOTH[1]]], {}, WRONG, "(s2: lease does not move)"),
        ("SR160", [GONE], {}, WARNING, "there is no lease table"),
        ("SR160", [DENIED], {}, WARNING, "cannot be read (AccessDenied"),
        ("SR115", READ, {}, WELL, "0 s behind at s1"),
        ("SR115", READ, {"s2": 400_000}, WARNING, "400 s behind at s2"),
        ("SR115", READ, {"s2": 100 * 3600_000}, WRONG, "events are lost 68 hours from now"),
        ("SR115", READ, {"s1": THROTTLED}, UNKNOWN, "the lag of s1 could not be asked for"),
        ("SR115", READ, {"s1": DENIED}, WARNING, "the lag of s1 may not be looked at"),
        ("SR115", READ, {"s1": GONE}, WELL, "0 s behind at s2"),
        ("SR115", READ, {"s1": THROTTLED, "s2": 400_000}, WARNING, "400 s behind at s2"),
    ],
)
def test_owners_are_known_by_several_looks_and_the_lag_is_that_of_the_worst_shard(
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    looks: list[Any],
    late_ms: dict[str, int | str],
    verdict: CheckVerdict,
    says: str,
) -> None:
    """One look accuses nobody, and a look that is refused is none; what cannot be read is not called well."""
    set_environment(monkeypatch, {**KEYS, "AWS_REGION": "eu-west-1"})
    aws = InProcess(made=["cxone-events"])
    aws.kinesis.shards.arrange({"s0": (), "s1": ("s0",), "s2": ("s0",)}, closed=["s0"])
    left = list(looks)

    def scan(_: object) -> Answer:
        rows = left.pop(0) if len(left) > 1 else left[0]
        return rows if isinstance(rows, str) else {"Items": [{"leaseKey": {"S": "leader"}}, *rows]}

    def get_records(asked: dict[str, Any]) -> Answer:
        late = late_ms.get(shard_of(asked["ShardIterator"]), 0)
        return late if isinstance(late, str) else {"Records": [], "MillisBehindLatest": late}

    aws.script("Scan", scan)
    aws.script("GetRecords", get_records)
    monkeypatch.setattr(World, "client", lambda _, service: aws.client(service))
    monkeypatch.setattr(checks, "check_lease_table", lambda *_: ok("SR105", ""))
    check_result = {row.code: row for row in stream.LEASES.check(World(wait=lambda _: None))}[code]
    assert (check_result.verdict, says in check_result.observation) == (verdict, True), check_result
    assert check_result.verdict is WELL or check_result.cure
