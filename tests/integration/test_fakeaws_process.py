"""The fake AWS as a process: its command line, its admin, its ledger, TLS."""

import json
import ssl
import subprocess
import sys
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


def test_without_a_ledger_there_are_counters() -> None:
    """For benchmarks: no file, and the same counts."""
    with FakeAwsProcess() as fake_aws, httpx.Client(trust_env=False) as client:
        for _ in range(3):
            assert client.post(fake_aws.url, headers=SIGNED, json=ENTRIES).status_code == 200
        stats = fake_aws.stats()
    assert stats["calls"] == {"PutEvents": 3}
    assert stats["items"] == {"PutEvents": {"accepted": 3}}
    assert stats["mostInFlight"] == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--ledger", "{folder}"], "Is a directory"),
        (["--plan", "{folder}/none.json"], "No such file"),
        (["--plan", "{folder}/broken.json"], "unexpected"),
        (["--plan", "{folder}/unknown.json"], "unknown fault"),
        (["--plan", "{folder}/list.json"], "a plan is an object"),
        (["--plan", "{folder}/rules.json"], "a plan is an object"),
        (["--port", "99999"], "is no port"),
    ],
)
def test_what_it_cannot_start_with_is_one_line(tmp_path: Path, arguments: list[str], told: str) -> None:
    """A wrong ledger or plan ends it with 78 and a line that says why, no traceback."""
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "unknown.json").write_text('{"rules": [{"fault": "flood"}]}')
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "rules.json").write_text('{"rules": [5]}')
    filled = [one.replace("{folder}", str(tmp_path)) for one in arguments]
    command = [sys.executable, "-m", "tests.fakeaws", *filled]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 78
    assert done.stderr.count("\n") == 1
    assert told in done.stderr


def test_a_line_is_written_before_the_answer(tmp_path: Path) -> None:
    """When the client has its answer the ledger has the line, without the payload unless asked."""
    with FakeAwsProcess(tmp_path / "ledger") as fake_aws, httpx.Client(trust_env=False) as client:
        client.post(fake_aws.url, headers=SIGNED, json=ENTRIES)
        (line,) = [json.loads(text) for text in (tmp_path / "ledger").read_text().splitlines()]
    assert (line["verdict"], line["eventId"], line["index"], line["entries"]) == ("accepted", "e", 0, 1)
    assert "payload" not in line


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"Entries":[1]}', b'{"Entries":[{"Source":1}]}', b"\xff"])
def test_what_cannot_be_read_is_refused_and_noted(tmp_path: Path, body: bytes) -> None:
    """A body that is no call gets a 400 of AWS's form and a line; the connection goes on."""
    with FakeAwsProcess(tmp_path / "ledger") as fake_aws, httpx.Client(trust_env=False) as client:
        for _ in range(2):
            answer = client.post(fake_aws.url, headers=SIGNED, content=body)
            assert answer.status_code == 400
            assert "__type" in answer.json()
        assert {line["verdict"] for line in fake_aws.lines()} == {"refused"}
        assert client.post(fake_aws.url, headers=SIGNED, json=ENTRIES).status_code == 200


def test_an_unknown_operation_is_named_so() -> None:
    """What the fake AWS does not speak it says."""
    with FakeAwsProcess() as fake_aws, httpx.Client(trust_env=False) as client:
        answer = client.post(fake_aws.url, headers={**SIGNED, "X-Amz-Target": "AWSEvents.PutRule"}, json={})
    assert answer.status_code == 400
    assert "UnknownOperationException" in answer.text


def test_a_wrong_plan_keeps_the_old_one() -> None:
    """The admin answers 400 and says why; the plan before still holds."""
    with FakeAwsProcess(None, {"rules": [{"fault": "outage"}]}) as fake_aws, httpx.Client(trust_env=False) as client:
        answer = client.post(f"{fake_aws.url}/_plan", json={"rules": [{"fault": "flood"}]})
        assert answer.status_code == 400
        assert "flood" in answer.text
        assert client.post(fake_aws.url, headers=SIGNED, json=ENTRIES).status_code == 503
        assert client.post(f"{fake_aws.url}/_reset").status_code == 200
        assert client.post(fake_aws.url, headers=SIGNED, json=ENTRIES).status_code == 200
        assert fake_aws.stats()["calls"] == {"PutEvents": 1}


def test_calls_in_flight_together_are_counted() -> None:
    """The most calls that were answered at once: what a client's window is checked by."""
    import asyncio

    async def together(url: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            await asyncio.gather(*(client.post(url, headers=SIGNED, json=ENTRIES) for _ in range(5)))

    with FakeAwsProcess(None, {"rules": [{"fault": "delay", "ms": 300}]}) as fake_aws:
        asyncio.run(together(fake_aws.url))
        assert fake_aws.stats()["mostInFlight"] == 5


def test_it_serves_tls(tmp_path: Path) -> None:
    """With a certificate the port speaks TLS."""
    ca = trustme.CA()
    cert = ca.issue_cert("127.0.0.1")
    cert.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "cert.pem"))
    context = ssl.create_default_context()
    ca.configure_trust(context)
    pem = str(tmp_path / "cert.pem")
    with FakeAwsProcess(None, None, 0, "--tls-cert", pem, "--tls-key", pem) as fake_aws:
        assert fake_aws.url.startswith("https://")
        assert (
            httpx.post(fake_aws.url, headers=SIGNED, json=ENTRIES, verify=context, trust_env=False).status_code == 200
        )
