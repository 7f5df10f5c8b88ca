"""The running programs without one action of their printed policies, one action after the other; moto enforces IAM.

Each action is taken away while the programs carry events, and given back once a line names it. `setup`, `operate` and
`teardown` are not tried here.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.system.world import until, webhook
from tests.worlds.environments import Environments
from tests.worlds.foreign import START_WITHIN_S, Steps
from tests.worlds.iam_world import LARGE_BYTES, SETTINGS, EnforcedWorld, actions_of

NAMED_WITHIN_S = 75.0
"""Time limit for the line that names the action. The programs check once a minute what seldom changes."""

ARRIVED_WITHIN_S = 120.0
"""Time limit for the events after the action was given back; a new daemon may have to start meanwhile."""


class Case(NamedTuple):
    """An action to take from a program, the words that its line must have, and whether events wait meanwhile."""

    program: str
    action: str
    words: tuple[str, ...]
    code: str
    """The verdict that must show it, "" if events go on and the log alone says so."""


QUEUE, BUS = "cxone-events-dead-letters", "event-bus/default"
CASES = (
    Case("consume", "kinesis:GetRecords", ("kinesis:GetRecords", "stream/cxone-events"), "daemon-refused"),
    Case("consume", "kinesis:ListShards", ("kinesis:ListShards", "stream/cxone-events"), ""),
    Case("consume", "dynamodb:Query", ("dynamodb:Query", "table/cxone-event-router"), "daemon-refused"),
    Case("consume", "events:PutEvents", ("events:PutEvents", BUS), "holding"),
    Case("consume", "events:DescribeRule", ("events:DescribeRule", "rule/cxone-webhook-router"), ""),
    Case("consume", "sqs:SendMessage", ("sqs:SendMessage", QUEUE), "holding"),
    Case("consume", "s3:PutObject", ("AccessDenied", "the offload bucket claims"), "holding"),
    Case("consume", "cloudwatch:PutMetricData", ("cloudwatch:PutMetricData",), ""),
    Case("receive", "kinesis:PutRecords", ("kinesis:PutRecords", "the stream cxone-events"), "stream-down"),
    Case("receive", "cloudwatch:PutMetricData", ("cloudwatch:PutMetricData",), ""),
    Case("consume", "dynamodb:UpdateItem", ("dynamodb:UpdateItem", "table/cxone-event-router"), "daemon-refused"),
    Case("consume", "dynamodb:Scan", ("dynamodb:Scan", "table/cxone-event-router"), "daemon-refused"),
)
"""moto's S3 answers only "Access Denied". AWS's S3 names action and resource (docs/facts.md, "Permissions")."""


def run(folder: Path, environments: Environments, steps: Steps) -> None:
    """Start the programs, and take their actions away one at a time."""
    world = TakeAwayWorld(folder, environments, **SETTINGS)
    try:
        world.start_moto()
        world.set_up()
        world.start_receiver(**world.keys["receive"])
        world.start_consumer(**world.keys["consume"])
        until(lambda: len(world.children()) >= 2, START_WITHIN_S, "two children run")
        first = world.post_bodies({f"first-{number}": webhook(number) for number in range(10)}, 10)
        held = set(world.collect(set(first), ARRIVED_WITHIN_S)) == set(first)
        steps.record("events under the whole policies", held=held, figure=f"{len(first)} sent")
        for number, case in enumerate(CASES):
            with steps.step(f"{case.program} without {case.action}"):
                _take_away(world, steps, case, number)
    finally:
        world.close()


class TakeAwayWorld(EnforcedWorld):
    """The enforced world, whose policies lack an action at times."""

    def grant(self, name: str, without: str = "") -> None:
        """Give a program its printed policy, without one action if `without` names it."""
        document = json.loads(json.dumps(self.policies[name]))
        for statement in document["Statement"]:
            statement["Action"] = [action for action in actions_of(statement) if action != without]
        document["Statement"] = [statement for statement in document["Statement"] if statement["Action"]]
        self.client("iam").put_user_policy(UserName=name, PolicyName="printed", PolicyDocument=json.dumps(document))

    def verdict(self, name: str) -> str:
        """Return the code of a program's verdict."""
        variable = {"consume": "STREAM_ROUTER_ADMIN_LISTEN", "receive": "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN"}[name]
        status = httpx.get(f"http://{self.environment[variable]}/status", timeout=10.0).json()
        return str(status["code"])

    def naming_line(self, name: str, since: int, words: tuple[str, ...]) -> str:
        """Return "LEVEL event" of the first line of ours after byte `since` that has all the words; "" without one."""
        with (self.folder / f"{name}.log").open("rb") as log:
            log.seek(since)
            lines = log.read().decode("utf-8", "replace").splitlines()
        for line in lines:
            if line.startswith("{") and line.endswith("}") and all(word in line for word in words):
                record = json.loads(line)
                if record["event"] != "kcl" and record["level"] in ("WARNING", "ERROR"):
                    return f"{record['level']} {record['event']}"
        return ""


def _take_away(world: TakeAwayWorld, steps: Steps, case: Case, number: int) -> None:
    """Take the action away, send events, wait for the line and the verdict; give it back: no event may be lost."""
    since = (world.folder / f"{case.program}.log").stat().st_size
    world.grant(case.program, without=case.action)
    begun = time.monotonic()
    pool = ThreadPoolExecutor(1)
    posted = pool.submit(world.post_bodies, _bodies(case, number), 10)  # it may wait until the action is given back
    try:
        line, code = "", "not seen"
        while time.monotonic() - begun < NAMED_WITHIN_S and not (line and code == case.code):
            time.sleep(1.0)
            line = line or world.naming_line(case.program, since, case.words)
            code = case.code and world.verdict(case.program)
        named_s = time.monotonic() - begun
    finally:
        world.grant(case.program)
        pool.shutdown(wait=False)
    stored = posted.result()
    wanted = set() if case.action == "sqs:SendMessage" else set(stored)
    arrived = set(world.collect(wanted, ARRIVED_WITHIN_S))
    lost = wanted - arrived
    held = bool(line) and code == case.code and not lost
    figure = f"{line or 'not named'} after {named_s:.0f} s; verdict {code or 'not judged'}; {len(lost)} events lost"
    steps.record(f"{case.program} without {case.action}", held=held, figure=figure)


def _bodies(case: Case, number: int) -> dict[str, bytes]:
    """Return bodies that make the program need the action."""
    match case.action:
        case "sqs:SendMessage":
            return {f"away-{number}": webhook(number, eventType="of.my.own")}
        case "s3:PutObject":
            return {f"away-{number}": webhook(number, payload={"text": "x" * LARGE_BYTES})}
        case _:
            return {f"away-{number}-{n}": webhook(n) for n in range(4)}
