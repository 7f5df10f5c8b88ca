"""The fake AWS as a process: its command line, its admin, its ledger, TLS."""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from tests.fakeaws.process import FakeAwsProcess

SIGNED = {
    "X-Amz-Target": "AWSEvents.PutEvents",
    "X-Amz-Date": "20261124T000000Z",
    "Authorization": "AWS4-HMAC-SHA256 Credential=a/20261124/us-east-1/events/aws4_request, "
    f"SignedHeaders=host;x-amz-date, Signature={'a' * 64}",
}
ENTRIES = {"Entries": [{"Source": "s", "DetailType": "t", "Detail": '{"eventId":"e"}'}]}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path_factory.mktemp("fake") / "ledger") as fake_aws:
        yield fake_aws


@pytest.fixture
def client(running: FakeAwsProcess) -> Iterator[httpx.Client]:
    running.reset()
    with httpx.Client(base_url=running.url, headers=SIGNED, trust_env=False) as result:
        yield result


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ledger", "{folder}"], "Is a directory"),
        (["--plan", "{folder}/none.json"], "No such file"),
        (["--plan", "{folder}/broken.json"], "unexpected"),
        (["--plan", "{folder}/unknown.json"], "unknown fault"),
        (["--plan", "{folder}/list.json"], "a plan is an object"),
        (["--plan", "{folder}/rules.json"], "a plan is an object"),
        (["--port", "99999"], "is not a port"),
    ],
)
def test_what_it_cannot_start_with_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    """A wrong ledger or plan ends it with 78 and a line that says why, no traceback."""
    plans = {"broken": "{", "unknown": '{"rules": [{"fault": "flood"}]}', "list": "[]", "rules": '{"rules": [5]}'}
    for name, text in plans.items():
        (tmp_path / f"{name}.json").write_text(text)
    filled = [argument.replace("{folder}", str(tmp_path)) for argument in arguments]
    command = [sys.executable, "-m", "tests.fakeaws", *filled]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (78, 1)
    assert message in done.stderr


def test_a_line_is_written_before_the_answer(running: FakeAwsProcess, client: httpx.Client) -> None:
    """When the client has its answer the ledger has the line, without the payload unless asked; and all is counted."""
    assert client.post("/", json=ENTRIES).status_code == 200
    line = running.lines("PutEvents", "accepted")[-1]
    assert (line["eventId"], line["index"], line["entries"]) == ("e", 0, 1)
    assert "payload" not in line
    stats = running.stats()
    assert (stats["calls"], stats["items"]) == ({"PutEvents": 1}, {"PutEvents": {"accepted": 1}})
    assert stats["mostInFlight"] == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"Entries":[1]}', b'{"Entries":[{"Source":1}]}', b"\xff"])
def test_what_cannot_be_read_is_refused_and_noted(running: FakeAwsProcess, client: httpx.Client, body: bytes) -> None:
    """A body that is not a call gets a 400 of AWS's form and a line; the connection goes on."""
    before = len(running.lines(verdict="refused"))
    answer = client.post("/", content=body)
    assert answer.status_code == 400
    assert "__type" in answer.json()
    assert len(running.lines(verdict="refused")) == before + 1
    assert client.post("/", json=ENTRIES).status_code == 200


def test_an_unknown_operation_and_an_unsigned_call_are_named_so(client: httpx.Client) -> None:
    """What the fake AWS does not speak it says."""
    for headers, message in (
        ({"X-Amz-Target": "AWSEvents.PutRule"}, "UnknownOperationException"),
        ({"Authorization": "AWS4-HMAC-SHA256"}, "MissingAuthenticationToken"),
    ):
        answer = client.post("/", headers=headers, json=ENTRIES)
        assert answer.is_client_error
        assert message in answer.text


def test_a_wrong_plan_keeps_the_old_one(running: FakeAwsProcess, client: httpx.Client) -> None:
    """The admin answers 400 and says why; the plan before still holds."""
    running.plan({"rules": [{"fault": "outage"}]})
    answer = client.post("/_plan", json={"rules": [{"fault": "flood"}]})
    assert answer.status_code == 400
    assert "flood" in answer.text
    assert client.post("/", json=ENTRIES).status_code == 503
    assert client.post("/_reset").status_code == 200
    assert client.post("/", json=ENTRIES).status_code == 200
    assert running.stats()["calls"] == {"PutEvents": 1}


def test_calls_in_flight_together_are_counted(running: FakeAwsProcess) -> None:
    """The most calls that were answered at once: what a client's window is checked by."""

    async def together() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            await asyncio.gather(*(client.post(running.url, headers=SIGNED, json=ENTRIES) for _ in range(5)))

    running.reset()
    running.plan({"rules": [{"fault": "delay", "ms": 300}]})
    asyncio.run(together())
    assert running.stats()["mostInFlight"] == 5


def test_it_serves_tls_and_needs_no_ledger(tmp_path: Path) -> None:
    """With a certificate the port speaks TLS; without a ledger there are counters."""
    ca = trustme.CA()
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "cert.pem"))
    context = ssl.create_default_context()
    ca.configure_trust(context)
    pem = str(tmp_path / "cert.pem")
    with FakeAwsProcess(None, None, 0, "--tls-cert", pem, "--tls-key", pem) as fake_aws:
        assert fake_aws.url.startswith("https://")
        answer = httpx.post(fake_aws.url, headers=SIGNED, json=ENTRIES, verify=context, trust_env=False)
        assert answer.status_code == 200
        assert fake_aws.stats()["calls"] == {"PutEvents": 1}
