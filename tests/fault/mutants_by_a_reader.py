"""Mistakes that were chosen by reading the program alone, by somebody who had not written the tests, on 2026-11-25.

They were listed before the tests were looked at; which tests to run was looked up afterwards.
"""

from tests.fault.mutant import Mutant

RECEIVER = {
    "a delivery is remembered before it is stored": Mutant(
        "receiver/batcher.py",
        "        self._deliveries.begin(delivery)\n",
        "        self._deliveries.begin(delivery)\n        self._deliveries.end(delivery, self.now_s())\n",
        ("tests/integration/test_receiver_process.py", "-k", "a_delivery or copy"),
    ),
    "a receiver that drains is ready": Mutant(
        "receiver/app.py",
        "return not self.draining and self._batcher.ready",
        "return self._batcher.ready",
        ("tests/integration/test_receiver_stop.py", "-k", "draining"),
    ),
    "an array is stored with its first event": Mutant(
        "receiver/batcher.py",
        "        if delivery.missing:\n",
        "        if delivery.missing < 0:\n",
        ("tests/property/test_receiver_batcher.py",),
    ),
    "what the stream refused goes behind what is newer": Mutant(
        "receiver/batcher.py",
        "                queue.appendleft(event)\n",
        "                queue.append(event)\n",
        ("tests/unit/test_receiver_batcher.py", "tests/property/test_receiver_batcher.py"),
    ),
    "a call that hangs is answered 202": Mutant(
        "receiver/batcher.py",
        "        request.finish(NOT_STORED)\n",
        "        request.finish(STORED)\n",
        ("tests/unit/test_receiver_batcher.py",),
    ),
    "an event overtakes its conversation on the disk": Mutant(
        "receiver/batcher.py",
        "self.backlog is not None and bool(self.backlog.unread)\n",
        "False\n",
        ("tests/unit/test_receiver_batcher.py",),
    ),
    "the spill is not synced": Mutant(
        "receiver/spill.py",
        "            os.fdatasync(self._active)\n",
        "",
        ("tests/integration/test_receiver_spill.py",),
    ),
    "spilled rows are forgotten once they are read": Mutant(
        "receiver/backlog.py",
        "while self._ends and next(iter(self._read), self._ends[0]) >= self._ends[0]:",
        "while self._ends:",
        ("tests/unit/test_receiver_batcher.py", "tests/property/test_receiver_batcher.py"),
    ),
    "a secret that was taken out stays live": Mutant(
        "receiver/secrets.py",
        "        self.live = self._parse(text)\n        self._text = text\n",
        "        self.live = (*self.live, *self._parse(text))\n        self._text = text\n",
        ("tests/unit/test_receiver_secrets.py",),
    ),
}

CHILD = {
    "standard output is not shielded": Mutant(
        "consumer/child/daemon_lines.py",
        "    os.dup2(2, 1)\n    sys.stdout = sys.stderr\n",
        "",
        ("tests/integration/test_child.py", "-k", "protocol"),
    ),
    "a shard's end that was not taken is answered as done": Mutant(
        "consumer/child/checkpoints.py",
        "            if self._clock() > until:\n                raise error\n",
        "            if self._clock() > until:\n                return\n",
        ("tests/unit/test_checkpoints.py",),
    ),
    "the last checkpoint is the bare one": Mutant(
        "consumer/child/shard.py",
        "while not self._checkpoint(told.checkpointer, now=True) and",
        "while told.checkpointer.checkpoint() is not None and",
        ("tests/unit/test_shard.py",),
    ),
    "a child that was told to stop goes on opening": Mutant(
        "consumer/child/shard.py",
        "            if records and not self.leave_by:\n",
        "            if records:\n",
        ("tests/unit/test_shard.py",),
        (
            "            if self.leave_by:\n                # The batch",
            "            if False:\n                # The batch",
        ),
    ),
    "a killer is never named": Mutant(
        "consumer/child/crash_guard.py",
        "if self.once or self.at_work == self.suspect:",
        "if False:",
        ("tests/unit/test_crash_guard.py",),
    ),
    "a killer that was put back costs many deaths": Mutant(
        "consumer/child/crash_guard.py",
        "if self.once or self.at_work == self.suspect:",
        "if self.at_work == self.suspect:",
        ("tests/unit/test_crash_guard.py",),
    ),
    "an orphan goes on sending": Mutant(
        "consumer/child/__main__.py",
        '    threading.Thread(target=_die_with, args=(parent, process.ended_well), name="parent-watch", '
        "daemon=True).start()\n",
        "",
        ("tests/integration/test_child.py",),
    ),
    "a bus that was made anew is the old one": Mutant(
        "consumer/target_proof.py",
        "            no = answer if isinstance(answer, No) else self._another_bus(answer)\n",
        "            no = answer if isinstance(answer, No) else None\n",
        ("tests/unit/test_target_proof.py",),
    ),
    "an earlier life's proof of bus and rule counts": Mutant(
        "consumer/state_dir.py",
        "        self.discard(TARGET_PROOF)\n",
        "",
        ("tests/unit/test_state_dir.py",),
    ),
}

PIPELINE = {
    "the whole call is sent again for one entry": Mutant(
        "pipeline/delivery/dispatcher.py",
        "        pairs = list(zip(items, outcomes, strict=True))\n",
        '        for item in items:\n            self._again(item, now + 0.1, "InternalFailure")\n        return\n'
        "        pairs = list(zip(items, outcomes, strict=True))\n",
        ("tests/unit/test_dispatch.py",),
    ),
    "a call is larger than the bus takes": Mutant(
        "pipeline/sinks/eventbridge/publisher.py",
        "while size > most.bytes and",
        "while size > most.bytes + 4096 and",
        ("tests/property/test_pack.py",),
    ),
    "a claim check is stored whatever S3 says": Mutant(
        "pipeline/sinks/claim_check.py",
        'if answer.status == 200 and answer.headers.get("etag"):',
        "if answer.status == 200:",
        ("tests/unit/test_offload.py",),
    ),
    "the limit on dead letters is never passed": Mutant(
        "pipeline/dead_letter_limit.py",
        "self._dead >= allowed.share * self._events",
        "self._dead > 2 * self._events",
        ("tests/unit/test_dead_letter_limit.py",),
    ),
    "what cannot be masked goes out as it is": Mutant(
        "pipeline/transform.py",
        "                raise _masking_failed(self._told(event_type), error) from None\n",
        "                str(error)\n",
        ("tests/unit/test_masking_policy.py",),
    ),
    "a time without an offset is not in its zone": Mutant(
        "pipeline/mapping/timestamps.py",
        "moment.replace(tzinfo=zone or UTC)",
        "moment.replace(tzinfo=UTC)",
        ("tests/unit/test_timestamps.py", "tests/unit/test_golden.py"),
    ),
    "a number that would change is let through": Mutant(
        "pipeline/mapping/exact_json.py",
        "        return value if Decimal(text) == Decimal(repr(value)) else ExactNumber(text)\n",
        "        return value\n",
        ("tests/unit/test_numbers.py",),
    ),
    "a message that SQS failed is found by its place": Mutant(
        "errors.py",
        "        at = _place(result, outcomes)\n        outcomes[at] = _failed_message(result)\n",
        "        at = outcomes.index(None)\n        outcomes[at] = _failed_message(result)\n",
        ("tests/unit/test_errors.py",),
    ),
}

TELEMETRY = {
    "a restarted child's counts are forgotten": Mutant(
        "telemetry/merged.py",
        "        self._ended.add(self._latest.pop(file, Snapshot()))\n",
        "        self._latest.pop(file, None)\n",
        ("tests/unit/test_snapshot.py",),
    ),
    "histograms are merged by averaging": Mutant(
        "telemetry/histogram.py",
        "        self._counts += other._counts  #",
        "        self._counts = (self._counts + other._counts) // 2  #",
        ("tests/unit/test_snapshot.py",),
    ),
    "an audit record does not name the one before": Mutant(
        "telemetry/audit.py",
        "previous, torn, size = digest(line, self._key), 0, size",
        "torn, size = 0, size",
        ("tests/unit/test_audit.py",),
    ),
    "a batch whose events are not accounted for is verified": Mutant(
        "telemetry/audit.py",
        "batch.probes != batch.events,",
        "batch.probes > batch.events,",
        ("tests/unit/test_audit.py",),
    ),
    "metrics that CloudWatch did not take are gone": Mutant(
        "telemetry/cloudwatch.py",
        "                    self._send(self._waiting[0])\n                    self._waiting.popleft()\n",
        "                    self._send(self._waiting.popleft())\n",
        ("tests/unit/test_cloudwatch.py",),
    ),
}

SUPERVISOR = {
    "children are not told of a stop": Mutant(
        "consumer/supervisor/supervisor.py",
        "        processes.send(processes.children(jvm), signal.SIGTERM)\n"
        "        processes.send([jvm], signal.SIGTERM)\n",
        "        processes.send([jvm], signal.SIGTERM)\n",
        ("tests/integration/test_supervisor.py",),
    ),
    "a child that lived through a break stays": Mutant(
        "consumer/target_proof.py",
        "        return self._line.since_s > self._born\n",
        "        return False\n",
        ("tests/unit/test_target_proof.py",),
    ),
    "a consumer that drains is ready": Mutant(
        "consumer/supervisor/vitals.py",
        'ready=self._starts > 0 and state != "draining"',
        "ready=self._starts > 0",
        ("tests/unit/test_hang_watch.py",),
    ),
    "two supervisors share a state folder": Mutant(
        "consumer/state_dir.py",
        "            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "            pass\n",
        ("tests/unit/test_state_dir.py",),
    ),
}

OPERATOR = {
    "redrive deletes before the stream has the event": Mutant(
        "operate/dlq.py",
        "            yield Outgoing(line, one.conv",
        "            self._delete(one.messages)\n            yield Outgoing(line, one.conv",
        ("tests/integration/test_dlq.py", "-k", "every_form"),
    ),
    "a replay puts back what a replay put there": Mutant(
        "operate/replay.py",
        'if told and told.way == "replay":',
        'if told and told.way == "":',
        ("tests/unit/test_find_and_replay.py",),
    ),
    "find says of an event what became of its first copy": Mutant(
        "operate/find.py",
        "self._verdict((ours or places)[-1])",
        "self._verdict((ours or places)[0])",
        ("tests/unit/test_find_and_replay.py",),
    ),
    "what was edited goes back as it was": Mutant(
        "operate/dlq.py",
        'None if _digest(now) == told["was"] else edited',
        "None",
        ("tests/integration/test_dlq_undelivered.py", "-k", "edited"),
    ),
    "a teardown deletes what holds events": Mutant(
        "operate/setup.py",
        "    elif lost and not force:\n",
        "    elif lost and not (force or yes):\n",
        ("tests/integration/test_setup.py",),
    ),
    "a line that the stream refused counts as put back": Mutant(
        "operate/stream_writer.py",
        'return "" if result.get("ErrorCode") else result.get("SequenceNumber", "")',
        'return result.get("SequenceNumber", "0")',
        ("tests/unit/test_operate_stream.py",),
    ),
    "doctor is content where it could not judge": Mutant(
        "operate/doctor/command.py",
        "return UNJUDGED if Verdict.UNKNOWN in seen else WELL",
        "return WELL",
        ("tests/unit/test_doctor.py",),
    ),
    "a setting that nobody knows is passed over": Mutant(
        "settings/reading.py",
        "[*unknown(), *_wrong_failpoints()]",
        "[*_wrong_failpoints()]",
        ("tests/unit/test_settings.py",),
    ),
    "a short secret is taken": Mutant(
        "settings/secrets.py",
        "if len(_key(secret, scheme)) < LEAST_BYTES:",
        "if False:",
        ("tests/unit/test_settings.py",),
    ),
}

CHOSEN: dict[str, Mutant] = {**RECEIVER, **CHILD, **PIPELINE, **TELEMETRY, **SUPERVISOR, **OPERATOR}
