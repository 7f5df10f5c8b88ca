"""Each program under exactly the policy that `setup --policy` prints, with moto enforcing IAM."""

import json
from pathlib import Path
from typing import Any

from tests.system.world import until, webhook
from tests.worlds.environments import HERE, Environments
from tests.worlds.foreign import START_WITHIN_S, ForeignWorld, Steps, answers, good_and_poison

PROGRAMS = ("setup", "receive", "consume", "operate", "teardown")
EVENTS, POISON_EVERY, RATE = 300, 50, 20.0
LARGE_BYTES, BUCKET = 1_000_000, "claims"
SETTINGS = {
    "STREAM_ROUTER_OFFLOAD_BUCKET": BUCKET,
    "STREAM_ROUTER_MAX_BODY_BYTES": "1040000",
    "AWS_DISABLE_REQUEST_COMPRESSION": "true",  # moto checks the signature of the unpacked body, AWS that of the packed
}
METRICS_WITHIN_S = 180.0
"""Time limit for the metrics of both programs, which send them once a minute."""

EXPECTED_DENIALS = {("receive", "kinesis:DescribeStreamSummary")}
"""A call to emulators alone: on AWS the receiver's check at its start is PutRecords with DryRun."""


class EnforcedWorld(ForeignWorld):
    """The product's programs over moto alone, a user for each program, and the verdict on each call."""

    def start_moto(self) -> None:
        """Start moto with IAM enforced; make the target's queue, and a user with its printed policy per program."""
        self.environments.install_moto()
        self.verdicts_file = self.folder / "verdicts"
        server = (str(self.environments.moto), str(HERE / "moto_iam.py"), str(self.port), str(self.verdicts_file))
        self.start_foreign("moto", *server, MOTO_ACCOUNT_ID="000000000000")
        until(lambda: answers(f"http://127.0.0.1:{self.port}/moto-api/data.json"), START_WITHIN_S, "moto answers")
        self.target = self.sqs.create_queue(QueueName="out")["QueueUrl"]
        self.client("s3").create_bucket(Bucket=BUCKET)
        self.keys: dict[str, dict[str, str]] = {}
        self.policies: dict[str, Any] = {}
        for name in PROGRAMS:
            self._make_user(name)

    def _make_user(self, name: str) -> None:
        printed = self.command("setup", "--policy", name)
        assert printed.returncode == 0, printed.stderr
        self.policies[name] = json.loads(printed.stdout)
        iam = self.client("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="printed", PolicyDocument=printed.stdout)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        self.keys[name] = {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }

    def read_verdicts(self, name: str) -> dict[str, bool]:
        """Return the actions that a program's calls needed, each with whether it was allowed every time."""
        actions: dict[str, bool] = {}
        for line in self.verdicts_file.read_text("utf-8").splitlines():
            verdict = json.loads(line)
            if verdict["who"] == name:
                actions[verdict["action"]] = actions.get(verdict["action"], True) and verdict["allowed"]
        return actions

    def run_as(self, name: str, *words: str) -> int:
        """Run a command as a program's user. Return its exit status."""
        return self.command(*words, timeout_s=200, **self.keys[name]).returncode


def run(folder: Path, environments: Environments, steps: Steps) -> None:
    """Use every program under its policy, and judge the verdicts."""
    world = EnforcedWorld(folder, environments, **SETTINGS)
    try:
        world.start_moto()
        steps.record("moto with IAM enforced", held=True, figure=f"{len(PROGRAMS)} users with their printed policies")
        _set_up(world, steps)
        consumer = world.start_consumer(**world.keys["consume"])
        receiver = world.start_receiver(**world.keys["receive"])
        until(lambda: len(world.children()) >= 2, START_WITHIN_S, "two children run")
        code = world.run_as("setup", "setup")
        steps.record("setup beside a running consumer", held=code == 0, figure=f"exit {code}")
        event = _carry(world, steps)
        _operate(world, steps, event)
        for name, program in (("consume", consumer), ("receive", receiver)):
            program.terminate()
            code = program.wait(60)
            steps.record(f"SIGTERM to {name}", held=code == 0, figure=f"exit {code}")
        world.environment.pop("SQS_DLQ_URL")  # teardown then names all queues of the deployment itself
        code = world.run_as("teardown", "teardown", "--yes", "--force")
        steps.record("teardown", held=code == 0, figure=f"exit {code}")
        for name in PROGRAMS:
            _judge(world, steps, name)
    finally:
        world.close()


def _set_up(world: EnforcedWorld, steps: Steps) -> None:
    own = dict(world.environment)
    world.environment |= world.keys["setup"]
    codes = [world.set_up().returncode, world.command("setup", "--plan", "--exit-code").returncode]
    world.environment |= {key: own[key] for key in world.keys["setup"]}
    steps.record("setup, then --plan: no drift", held=codes == [0, 0], figure=f"exit {codes[0]} and {codes[1]}")


def _carry(world: EnforcedWorld, steps: Steps) -> str:
    """Send events, two of them of 1 MB, and wait for metrics. Return the id of one that arrived."""
    good, poison = good_and_poison(EVENTS, POISON_EVERY, "iam")
    quotes = '"' * (LARGE_BYTES // 2)
    large = {
        "iam-large": webhook(EVENTS, payload={"text": "x" * LARGE_BYTES}),
        "iam-large-poison": webhook(EVENTS, payload={"text": quotes}, eventType="of.my.own"),
    }
    stored = world.post_bodies({**good, **poison, **large}, RATE)
    wanted = {id_ for id_, body in stored.items() if b"of.my.own" not in body}
    arrived = world.collect(wanted, 120)
    figure = f"{len(set(arrived))} of {len(wanted)}, {len(arrived) - len(set(arrived))} copies"
    steps.record("events at the target", held=set(arrived) == wanted, figure=figure)

    def both_sent_metrics() -> bool:
        return all("cloudwatch:PutMetricData" in world.read_verdicts(name) for name in ("receive", "consume"))

    until(both_sent_metrics, METRICS_WITHIN_S, "both programs sent metrics")
    return min(wanted)


def _operate(world: EnforcedWorld, steps: Steps, event: str) -> None:
    """Run the operator's commands: each must end with 0."""
    commands = (
        ("dlq", "list"),
        ("dlq", "list", "--undelivered"),
        ("dlq", "export", str(world.folder / "letters.jsonl")),
        ("dlq", "redrive"),
        ("find", event),
        ("replay", "--since", "1h", "--id", event),
        ("doctor", "--end-to-end"),
        ("shards",),
        ("shards", "--to", "4"),
    )
    for words in commands:
        code = world.run_as("operate", *words)
        name = " ".join(word for word in words if word != event and "/" not in word)
        steps.record(name, held=code == 0, figure=f"exit {code}")


def _judge(world: EnforcedWorld, steps: Steps, name: str) -> None:
    """Compare the actions that are printed with those that were used; none may have been denied."""
    verdicts = world.read_verdicts(name)
    expected = {action for program, action in EXPECTED_DENIALS if program == name}
    denied = {action for action, allowed in verdicts.items() if not allowed} - expected
    printed = {action for statement in world.policies[name]["Statement"] for action in actions_of(statement)}
    used = printed & verdicts.keys()
    figure = f"{len(printed)} actions printed, {len(used)} used, denied: {_join(denied)}; "
    steps.record(f"policy of {name}", held=not denied, figure=f"{figure}not used: {_join(printed - used)}")


def actions_of(statement: dict[str, Any]) -> list[str]:
    actions = statement["Action"]
    return [actions] if isinstance(actions, str) else actions


def _join(actions: set[str]) -> str:
    return ", ".join(sorted(actions)) or "none"
