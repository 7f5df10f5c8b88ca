"""Broken worlds that were written down before `doctor` was looked at: the command names each trouble and its cure."""

import datetime as dt
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme

from tests.integration import test_doctor
from tests.integration.test_doctor import Place
from tests.ports import free_port

pytestmark = pytest.mark.long

place = test_doctor.place

SOON_S = 0.5
"""Between two renewals of the leases: the KCL's own is 3.3 s, and `doctor` looks for 7 s."""


class World(NamedTuple):
    """How it is made; the line that names its trouble (sign, code, words of it); the command's exit status."""

    make: Callable[[Place], None]
    sign: str
    code: str
    words: tuple[str, ...]
    status: int = 1


def doctor(place: Place) -> tuple[int, list[str]]:
    """The real command beside a consumer that renews its leases: exit status and lines."""
    stop = threading.Event()

    def consume() -> None:
        while not stop.wait(SOON_S):
            place.renew(0.0)

    worker = threading.Thread(target=consume)
    worker.start()
    try:
        command = [str(Path(sys.executable).parent / "stream-router"), "doctor"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=dict(os.environ), check=False)
    finally:
        stop.set()
        worker.join()
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout.splitlines()


def stale_leases(place: Place) -> None:
    """`teardown` leaves the lease table; a stream of the same name is made anew."""
    for row in place.rows():
        place.put(row, checkpoint={"S": "1"})


def queue_policy(place: Place, end: str, *statements: dict[str, Any]) -> None:
    """Further statements in a queue's policy."""
    url = place.queue_url(end)
    has = place.clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    policy = json.loads(has)
    policy["Statement"] = [*policy["Statement"], *statements]
    place.clients.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})


def deny(sid: str, condition: dict[str, Any]) -> dict[str, Any]:
    """A guardrail as companies put it into every queue's policy."""
    return {"Sid": sid, "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*", "Condition": condition}


def guardrail(place: Place) -> None:
    """Only through our VPC: EventBridge does not come through it."""
    queue_policy(place, "undelivered", deny("OnlyOurVpc", {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}))


def aws_managed_key(place: Place) -> None:
    """Encrypted with KMS in the console, with the key that is offered first."""
    attributes: Any = {"SqsManagedSseEnabled": "false", "KmsMasterKeyId": "alias/aws/sqs"}
    place.clients.sqs.set_queue_attributes(QueueUrl=place.queue_url("undelivered"), Attributes=attributes)


def redrive_of_ours(place: Place) -> None:
    """Our dead-letter queue got a dead-letter queue, as every queue of the company has."""
    place.clients.sqs.create_queue(QueueName=f"{place.name}-graveyard")
    policy = json.dumps({"deadLetterTargetArn": place.queue_arn("graveyard"), "maxReceiveCount": 3})
    url = place.queue_url("dead-letters")
    place.clients.sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": policy})


def one_queue_for_both(place: Place) -> None:
    """The wrong one of two lines was copied."""
    place.set(SQS_DLQ_URL=place.queue_url("undelivered"))


def loop(place: Place) -> None:
    """Somebody archives what is on the bus, into the stream that it came from."""
    place.clients.events.put_rule(Name="archive", EventPattern='{"source":[{"prefix":"nice"}]}', **place.on)
    target: Any = {"Id": "s", "Arn": f"arn:aws:kinesis:us-east-1:000000000000:stream/{place.name}"}
    place.clients.events.put_targets(Rule="archive", Targets=[target], **place.on)


def type_without_setup(place: Place) -> None:
    """A type more in the settings, and `setup` was not run."""
    place.set(STREAM_ROUTER_EVENT_TYPES="interaction.created,interaction.ended")


def forgetful_bucket(place: Place) -> None:
    """A rule for temporary files takes the claim checks as well."""
    place.bucket_that_forgets("", days=3)


def certificate(place: Place, days: float) -> None:
    """TLS at the receiver with a certificate that ends in `days`."""
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    issued = trustme.CA().issue_cert("hooks.example.com", not_after=ends)
    cert, key = place.folder / "cert.pem", place.folder / "key.pem"
    issued.cert_chain_pems[0].write_to_path(str(cert))
    issued.private_key_pem.write_to_path(str(key))
    place.set(STREAM_ROUTER_TLS_CERT=str(cert), STREAM_ROUTER_TLS_KEY=str(key))


def leftover_endpoint(place: Place) -> None:
    """A variable of a trial on one machine is still set."""
    place.set(AWS_ENDPOINT_URL_SQS=f"http://127.0.0.1:{free_port()}")


def dropped_by_mistake(place: Place) -> None:
    """A type is to be routed, and to be dropped."""
    place.set(STREAM_ROUTER_DROP_TYPES="agent.typing,conversation.updated")


WORLDS = {
    "stale leases": World(stale_leases, "failure", "SR105", ("deleted since", "delete its lease table")),
    "AWS-managed key": World(aws_managed_key, "failure", "SR144", ("alias/aws/sqs", "SQS's own key")),
    "guardrail": World(guardrail, "failure", "SR144", ("OnlyOurVpc", "denies", "aws:PrincipalIsAWSService")),
    "redrive of ours": World(redrive_of_ours, "warning", "SR154", ("3 times", "graveyard", "RedrivePolicy"), 0),
    "one queue for both": World(one_queue_for_both, "warning", "SR103", ("in one queue", "a queue of their own"), 0),
    "loop": World(loop, "failure", "SR134", ("archive", "back into the stream", "take the stream out")),
    "type without setup": World(type_without_setup, "failure", "SR131", ("interaction.ended", "stream-router setup")),
    "forgetful bucket": World(forgetful_bucket, "warning", "SR155", ("tidy", "3 days", "14"), 0),
    "expired certificate": World(lambda place: certificate(place, -1), "failure", "SR014", ("ended", "renew")),
    "leftover endpoint": World(leftover_endpoint, "unknown", "SR103", ("127.0.0.1:", "AWS_ENDPOINT_URL_SQS"), 2),
    "dropped by mistake": World(dropped_by_mistake, "warning", "SR015", ("conversation.updated", "DROP_TYPES"), 0),
}


@pytest.mark.parametrize("name", WORLDS)
def test_the_line_names_the_trouble_and_its_cure(place: Place, name: str) -> None:
    """And the exit status says whether something is wrong."""
    world = WORLDS[name]
    world.make(place)
    status, lines = doctor(place)
    (line,) = [line for line in lines if line[9:14] == world.code]
    assert line.startswith(world.sign), lines
    assert not [word for word in world.words if word not in line], line
    assert status == world.status, lines


def test_right_worlds_are_well(place: Place) -> None:
    """Guardrails that leave EventBridge in, a certificate that lasts: nothing is said of them, exit 0."""
    queue_policy(
        *(place, "undelivered"),
        deny("OnlyTls", {"Bool": {"aws:SecureTransport": "false"}}),
        deny(
            "OnlyOurVpcOrAws",
            {
                "StringNotEqualsIfExists": {"aws:SourceVpce": "vpce-1"},
                "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
            },
        ),
    )
    certificate(place, 60)
    status, lines = doctor(place)
    assert status == 0, lines
