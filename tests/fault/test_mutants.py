"""Negative controls: known mistakes put into a copy of the package, one at a time; the tests must notice each.

Without this "nothing lost" would prove nothing. Each row runs tests in a process of its own, so this
is of `make prove`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fault.mutant import Mutant
from tests.fault.mutants_by_a_reader import CHOSEN
from tests.fault.mutants_of_mends import UNDONE

ROOT = Path(__file__).parents[2]
WITHIN_S = 170
"""A mutant that hangs the tests is noticed too."""

HANGS = " (it hangs)"
RESULTS = os.environ.get("MUTANTS_RESULTS", "")
"""A file to which each row's result is added, as a JSON line."""


def matrix(keywords: str) -> tuple[str, ...]:
    return ("tests/fault/test_fault_matrix.py", "-k", keywords)


OF_THE_AUTHORS = {
    "a request is answered before it is stored": Mutant(
        "receiver/batcher.py",
        "        delivery.waiting.append(request)\n",
        "        request.finish(STORED)\n        delivery.waiting.append(request)\n",
        ("tests/unit/test_receiver_batcher.py",),
    ),
    "an exception in a callback is swallowed": Mutant(
        "consumer/child/kcl_adapter.py",
        "            action.dispatch(self.checkpointer, self._shard)\n",
        "            try:\n                action.dispatch(self.checkpointer, self._shard)\n"
        "            except Exception:\n                pass\n",
        ("tests/integration/test_child.py",),
    ),
    "the KCL asks at a batch, and skips it where no answer comes": Mutant(
        "consumer/supervisor/properties.py",
        '"skipShardSyncAtWorkerInitializationIfLeasesExist": "true"',
        '"skipShardSyncAtWorkerInitializationIfLeasesExist": "false"',
        ("tests/integration/test_skipped_batch.py",),
    ),
    "a daemon that skips a batch goes on": Mutant(
        "consumer/supervisor/supervisor.py",
        '"daemon-skips"}\n    )\n    jvm.kill()\n',
        '"daemon-skips"}\n    )\n',
        ("tests/integration/test_skipped_batch.py",),
    ),
    "what failed inside an answer is passed over": Mutant(
        "errors.py",
        'ACCEPTED if result.get(first) and not result.get("ErrorCode") else _one(result, proofs) for result in results',
        "ACCEPTED if first else _one(result, proofs) for result in results",
        ("tests/unit/test_errors.py",),
    ),
    "an answer of another length is believed": Mutant(
        "errors.py", "    if len(results) != sent:\n        raise _UnreadableError\n", "", matrix("short")
    ),
    "no answer counts as accepted": Mutant(
        "errors.py",
        'a classic PutEvents call, by position."""\n',
        'a classic PutEvents call, by position."""\n    if answer.status == 0:\n        return [ACCEPTED] * sent\n',
        matrix("reset"),
    ),
    "SQS's MD5 is not looked at": Mutant(
        "errors.py", ' and result.get("MD5OfMessageBody") == body_md5s[at]', "", matrix("MD5")
    ),
    "throttling is the data's fault": Mutant(
        "errors.py",
        '(Meaning(_HOLD, _LESS, Kind.THROTTLING), "Throttling ',
        '(Meaning(_BURY, _LESS, Kind.THROTTLING), "Throttling ',
        matrix("trouble"),
    ),
    "an unknown code is the data's fault": Mutant(
        "errors.py",
        "_known(code) or Disposition.RETRY",
        "_known(code) or Disposition.DEAD_LETTER",
        matrix("trouble and SomethingNew"),
    ),
    "a 5xx is bisected": Mutant("errors.py", "status < 500 and _known", "_known", matrix("strikes_whole")),
    "the stream is bisected into the queue": Mutant(
        "pipeline/delivery/blame.py",
        "return self.first_tries.accepted_sent_at > refused_at or",
        "return True or",
        ("tests/unit/test_dispatch.py",),
    ),
    "suspects take every probe": Mutant(
        "pipeline/delivery/dispatcher.py",
        "alone and others_wait and self._were_asked",
        "False",
        ("tests/unit/test_dispatch.py",),
    ),
    "probes carry what is first": Mutant(
        "pipeline/delivery/dispatcher.py",
        "if self.gate.brought_nothing else 0",
        "if False else 0",
        ("tests/unit/test_dispatch.py", "tests/property/test_engine.py"),
    ),
    "what is accepted late proves everything": Mutant(
        "pipeline/delivery/blame.py",
        "return self.first_tries.accepted_sent_at > refused_at or",
        "return self.first_tries.accepted_at > refused_at or",
        ("tests/unit/test_dispatch.py",),
    ),
    "an outage spends an entry's budget": Mutant(
        "pipeline/delivery/blame.py",
        "if accepted < WELL_SHARE * (accepted + failed):",
        "if False:",
        ("tests/unit/test_engine_in_time.py",),
    ),
    "an outage buries": Mutant(
        "pipeline/delivery/dispatcher.py",
        "if self._policy.outage_gives_up and spent:",
        "if self.gate.failures > 3:",
        matrix("outage_is_held"),
    ),
    "systemic trouble spends an entry's budget": Mutant(
        "pipeline/delivery/blame.py",
        "                return Then.WAIT\n",
        "                pass\n",
        ("tests/unit/test_dispatch.py",),
        ("        if itself:\n", "        if True:\n"),
    ),
    "Retry-After is ignored": Mutant(
        "pipeline/delivery/gate.py",
        "        if retry_after_s:\n",
        "        if False:\n",
        matrix("retry_after"),
    ),
    "an outage is hammered": Mutant(
        "pipeline/delivery/gate.py",
        "now + wait_s)",
        "now + 0.01)",
        matrix("outage_is_held"),
    ),
    "conversations overtake themselves": Mutant(
        "pipeline/sinks/eventbridge/publisher.py",
        "        if not self._enabled:\n            return list(entries)\n",
        "        return list(entries)\n",
        ("tests/property/test_engine.py",),
    ),
    "a v2 entry has no deduplication id": Mutant(
        "pipeline/sinks/eventbridge/wire_format.py",
        '"DeduplicationId"',
        '"DeduplicationIdentity"',
        matrix("published_once"),
    ),
    "a blamed dead letter is forgotten": Mutant(
        "pipeline/sinks/dead_letters/queue.py",
        "self._writer.write_parts(message.letter, minimal=True)",
        "[]",
        matrix("whatever_the_queue"),
    ),
    "the checkpoint passes what is unsettled": Mutant(
        "consumer/child/watermark.py",
        "return isinstance(one, Position) or not one.unsettled",
        "return True",
        ("tests/property/test_watermark.py",),
    ),
    "a checkpoint rests on an old proof": Mutant(
        "consumer/child/checkpoints.py",
        "and self.proof.proven_s > self._proof_s",
        "and False",
        ("tests/unit/test_checkpoints.py",),
    ),
    "a window full of the sick stands for good": Mutant(
        "consumer/child/window.py",
        'may_help = full_by in ("span", "bytes") and',
        'may_help = full_by == "span" and',
        ("tests/unit/test_shard.py",),
    ),
    "a lost answer counts as accepted": Mutant(
        "pipeline/delivery/dispatcher.py",
        "        if isinstance(outcome, Refusal):\n",
        "        if answer.status == 0:\n            self._accept(items, sent_at, now)\n"
        "        elif isinstance(outcome, Refusal):\n",
        ("tests/simulation",),
    ),
    "the watermark passes what is unsettled": Mutant(
        "consumer/child/watermark.py",
        "return isinstance(one, Position) or not one.unsettled",
        "return isinstance(one, Position) or not (one.unsettled and one.sequence_number % 2)",
        ("tests/simulation",),
    ),
    "what comes back after a hand-off starts calls": Mutant(
        "pipeline/route.py",
        "            dispatcher.gate.stop()\n",
        "            pass\n",
        ("tests/unit/test_dispatch.py",),
    ),
    "a batch that was answered unread is taken for read": Mutant(
        "consumer/child/shard.py",
        "            elif records:\n                self._unread = True\n",
        "",
        ("tests/unit/test_shard.py",),
    ),
    "sequence numbers are compared as text": Mutant(
        "consumer/child/watermark.py",
        "    sequence_number: int\n    sub_sequence_number: int\n",
        "    sequence_number: int\n    sub_sequence_number: int\n\n"
        "    def __lt__(self, other):\n        return str(self[0]) < str(other[0])\n\n"
        "    def __gt__(self, other):\n        return str(self[0]) > str(other[0])\n",
        ("tests/property/test_watermark.py",),
    ),
    "a dead letter counts as stored when SQS fails": Mutant(
        "pipeline/sinks/dead_letters/queue.py",
        "        return [_never_refused(message, outcome) for message, outcome in zip(items, outcomes, strict=True)]\n",
        "        return [ACCEPTED for _ in items]\n",
        ("tests/unit/test_dead_letters.py",),
        ("import Answer, Disposition", "import ACCEPTED, Answer, Disposition"),
    ),
    "the window has no bound": Mutant(
        "consumer/child/window.py",
        "if self.held_bytes >= self._max_bytes:",
        "if False:",
        ("tests/property/test_window.py",),
    ),
    "a callback answers before it takes charge": Mutant(
        "consumer/child/shard.py",
        "                self._take_charge(records, checkpointer)\n",
        "                pass\n",
        ("tests/unit/test_shard.py",),
    ),
    "the lease is lost but calls go on": Mutant(
        "consumer/child/shard.py",
        '        self._router.stop()\n        log.info("shard given back"',
        '        log.info("shard given back"',
        ("tests/unit/test_shard.py",),
    ),
    "an audit record is written early": Mutant(
        "consumer/child/window.py",
        "if not batch.unsettled and not batch.is_open:",
        "if not batch.is_open:",
        ("tests/integration/test_telemetry_truth.py", "tests/property/test_window.py"),
    ),
    "a checkpoint is sent where no callback may carry it": Mutant(
        "consumer/child/shard.py",
        "        self._turn(REST_S, daemon=True)\n",
        "        self._turn(REST_S, daemon=True)\n        self._checkpoint(self._kept)\n",
        ("tests/unit/test_shard.py",),
        (
            "        self._vitals.called(told.millis_behind_latest)\n",
            "        self._vitals.called(told.millis_behind_latest)\n        self._kept = checkpointer\n",
        ),
    ),
    "the checkpoint stands still under load": Mutant(
        "consumer/child/watermark.py",
        "if len(self._reached) > 1 and self._reached[-1][0] - self._reached[-2][0] < SAMPLE_EVERY_S:",
        "if self._reached and now - self._reached[-1][0] < SAMPLE_EVERY_S:",
        ("tests/property/test_watermark.py",),
    ),
    "the clock is not corrected": Mutant(
        "aws/signed_calls.py",
        "self.skew_s = skew if abs(skew) > SKEW_NOTICED_S else 0.0",
        "pass",
        ("tests/integration/test_transport.py",),
    ),
    "TLS is not verified": Mutant(
        "aws/signed_calls.py",
        "curl.setopt(pycurl.CAINFO, self._ca_bundle)",
        "curl.setopt(pycurl.SSL_VERIFYPEER, 0)",
        ("tests/integration/test_transport.py",),
    ),
    "any host's certificate will do": Mutant(
        "aws/signed_calls.py",
        "curl.setopt(pycurl.CAINFO, self._ca_bundle)",
        "curl.setopt(pycurl.CAINFO, self._ca_bundle); curl.setopt(pycurl.SSL_VERIFYHOST, 0)",
        ("tests/integration/test_transport.py",),
    ),
    "the session token is left out": Mutant(
        "aws/signed_calls.py",
        "        if credentials.token:\n",
        "        if False:\n",
        ("tests/contract/test_signatures.py",),
    ),
    "line breaks stay in an envelope": Mutant(
        "envelope.py",
        "        body = body.translate(_BREAKS_TO_SPACES)\n",
        "        pass\n",
        ("tests/property/test_envelope_properties.py",),
    ),
    "a bad line takes its record along": Mutant(
        "envelope.py",
        "            found += _several(record, len(found), line, end_to_end(line))\n",
        "            return [_unreadable(record, 0, record.data)]\n",
        ("tests/unit/test_envelope.py",),
    ),
    "a bad setting is quoted": Mutant(
        "settings/reading.py",
        'return f"{variable(kind, name)}: {problem}"',
        "return f\"{variable(kind, name)}: {problem} {error['input']}\"",
        ("tests/unit/test_settings.py",),
    ),
    "a signature is not compared": Mutant(
        "receiver/auth.py",
        "good |= hmac.compare_digest(signature, expected)",
        "good |= True",
        ("tests/unit/test_receiver_auth.py",),
    ),
    "an old delivery is let in": Mutant(
        "receiver/auth.py",
        "abs(now_s - _seconds(timestamp)) > window_s",
        "now_s < 0",
        ("tests/unit/test_receiver_auth.py",),
    ),
}


MUTANTS = {**OF_THE_AUTHORS, **CHOSEN, **UNDONE}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of the project, to be spoiled: tests read documents and properties too, and must not fail for lack of one."""
    folder = tmp_path_factory.mktemp("mutants") / "copy"
    left_out = shutil.ignore_patterns(
        "__pycache__", ".venv", ".git", ".*_cache", ".hypothesis", "*.egg-info", "node_modules"
    )
    shutil.copytree(ROOT, folder, ignore=left_out)
    return folder


def run(folder: Path, tests: tuple[str, ...]) -> tuple[int, str]:
    """pytest's exit status and the test that failed: 0 where all passed, 1 where one failed or they hung."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "not long and not prove",
        *tests,
    ]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        return 1, f"{tests[0]}{HANGS}"
    failed = re.search(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    return done.returncode, failed[1] if failed else tests[0]


@pytest.mark.prove
@pytest.mark.timeout(2 * WITHIN_S + 30)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_is_noticed(copy: Path, name: str) -> None:
    """With the mistake in place a test fails, and the same test passes once the copy is whole again."""
    mutant = MUTANTS[name]
    path = copy / "stream_router" / mutant.path
    good = path.read_text("utf-8")
    path.write_text(good.replace(mutant.old, mutant.new).replace(*mutant.also), "utf-8")
    begun = time.monotonic()
    try:
        status, killed_by = run(copy, mutant.tests)
    finally:
        path.write_text(good, "utf-8")
    seconds = round(time.monotonic() - begun, 1)
    without, _ = run(copy, (killed_by.removesuffix(HANGS),))
    if RESULTS:
        told = {"mutant": name, "path": mutant.path, "status": status, "killedBy": killed_by, "without": without}
        with Path(RESULTS).open("a", encoding="utf-8") as out:
            out.write(json.dumps({**told, "seconds": seconds}) + "\n")
    assert status == 1, "no test noticed"
    assert without == 0, f"{killed_by} fails without the mistake too"


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_can_still_be_made(name: str) -> None:
    """What a row changes stands in the code, once: else the row has to be renewed."""
    mutant = MUTANTS[name]
    text = (ROOT / "stream_router" / mutant.path).read_text("utf-8")
    assert text.count(mutant.old) == 1
    assert not mutant.also[0] or text.count(mutant.also[0]) == 1
