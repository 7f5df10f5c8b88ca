"""Known mistakes, each under the promise that it breaks: `test_mutants.py` puts them into a copy of the project."""

# ruff: noqa: E501 - code as it stands

from typing import NamedTuple


class Mutant(NamedTuple):
    """What is changed where, and which tests have to fail for it within so many seconds."""

    path: str
    old: str
    new: str
    tests: tuple[str, ...]
    within_s: float = 170.0
    also: tuple[str, str] = ("", "")


MUTANTS: dict[str, dict[str, Mutant]] = {
    "202 is answered only once": {
        "a request is answered before it is stored": Mutant(
            "stream_router/receiver/batcher.py",
            "        delivery.waiting.append(request)\n",
            "        request.finish(TO_STREAM)\n        delivery.waiting.append(request)\n",
            ("tests/fault/test_receiver_outage.py::test_without_a_spill_an_outage_is_503_and_no_202_is_lost",),
        ),
        "a call that hangs is answered 202": Mutant(
            "stream_router/receiver/batcher.py",
            "        request.finish(NOT_STORED)\n",
            "        request.finish(TO_STREAM)\n",
            ("tests/fault/test_receiver_outage.py::test_without_a_spill_an_outage_is_503_and_no_202_is_lost",),
        ),
        "an array is stored with its first event": Mutant(
            "stream_router/receiver/batcher.py",
            "        if delivery.missing:\n",
            "        if delivery.missing < 0:\n",
            ("tests/property/test_receiver_batcher.py",),
        ),
        "the spill is not synced": Mutant(
            "stream_router/receiver/spill.py",
            "            os.fdatasync(self._active)\n",
            "",
            ("tests/integration/test_receiver_spill.py::test_every_group_is_synced_before_it_is_answered",),
        ),
    },
    "A slow stream is not treated": {
        "what landed late is not remembered": Mutant(
            "stream_router/receiver/events.py",
            "            self._known[key] = delivery if partly else self._second_s\n",
            "            self._known.pop(key, None)\n",
            ("tests/unit/test_receiver_batcher.py::test_what_landed_late_is_known_when_the_sender_comes_again",),
        ),
        "a delivery is remembered before it is stored": Mutant(
            "stream_router/receiver/batcher.py",
            "        self._deliveries.begin(delivery)\n",
            "        self._deliveries.begin(delivery)\n        self._deliveries.end(delivery, self.now_s())\n",
            ("tests/property/test_receiver_batcher.py",),
        ),
        "a copy is sent beside an open call": Mutant(
            "stream_router/receiver/batcher.py",
            "        if before.state == GIVEN_UP:\n",
            "        if before.state <= IN_FLIGHT or before.state == GIVEN_UP:\n",
            ("tests/unit/test_receiver_batcher.py::test_a_copy_waits_for_the_open_call_within_its_own_time",),
        ),
    },
    "An acknowledged event is in the stream or the spill": {
        "a row is sent beside the call that carries its event": Mutant(
            "stream_router/receiver/batcher.py",
            "                self.backlog.hold(row)\n",
            "                pass\n",
            ("tests/property/test_receiver_store.py",),
        ),
        "a delivery that two requests wait for is written twice": Mutant(
            "stream_router/receiver/batcher.py",
            "            event.row = WRITING\n",
            "",
            ("tests/property/test_receiver_store.py",),
        ),
    },
    "A stream that accepts calls and answers none": {
        "a silent stream gets everything again": Mutant(
            "stream_router/receiver/putrecords.py",
            "            self.is_silent = True\n",
            "            self.is_silent = False\n",
            (
                "tests/unit/test_receiver_batcher.py::test_a_silent_stream_gets_one_event_after_5_10_20_and_every_30_seconds",
            ),
        ),
    },
    "An accepted event is settled in the end": {
        "the checkpoint passes what is unsettled": Mutant(
            "stream_router/consumer/child/watermark.py",
            "return isinstance(item, RecordPosition) or not item.unsettled",
            "return True",
            ("tests/fault/chaos_run/test_chaos_run.py::test_five_kills_and_a_storm_lose_nothing",),
            within_s=600,
        ),
    },
    "The same through any mix of outages": {
        "a lost answer counts as accepted": Mutant(
            "stream_router/pipeline/delivery/dispatcher.py",
            "        if isinstance(outcome, Refusal):\n",
            "        if answer.status == 0:\n            self._record_accepted(items, sent_at, now)\n        elif isinstance(outcome, Refusal):\n",
            ("tests/simulation/test_simulation.py::test_no_seed_breaks_a_promise",),
        ),
    },
    "A crash between any two steps": {
        "the checkpoint passes what is unsettled, where it is killed": Mutant(
            "stream_router/consumer/child/watermark.py",
            "return isinstance(item, RecordPosition) or not item.unsettled",
            "return True",
            ("tests/fault/test_failpoints_child.py::test_killed_at_a_place_nothing_is_lost",),
        ),
        "redrive deletes before it stored, where it is killed": Mutant(
            "stream_router/operate/dlq.py",
            "            yield OutgoingLine(line, letter.find_conversation",
            "            self._delete(letter.messages)\n            yield OutgoingLine(line, letter.find_conversation",
            ("tests/fault/test_failpoints_commands.py",),
        ),
    },
    "A process that is stopped": {
        "a stop waits for a disk that hangs": Mutant(
            "stream_router/receiver/spill.py",
            "self._thread.join(CLOSED_WITHIN_S)",
            "self._thread.join()",
            ("tests/fault/test_receiver_outage.py::test_a_disk_that_hangs_holds_up_no_stop",),
        ),
    },
    "A checkpoint is never past": {
        "the watermark passes what is unsettled": Mutant(
            "stream_router/consumer/child/watermark.py",
            "return isinstance(item, RecordPosition) or not item.unsettled",
            "return isinstance(item, RecordPosition) or not (item.unsettled and item.sequence_number % 2)",
            ("tests/property/test_watermark.py::test_the_checkpoint_is_the_proven_settled_prefix",),
        ),
        "a checkpoint stands within an aggregated record": Mutant(
            "stream_router/consumer/child/watermark.py",
            "if following is not None and following.sequence_number == item.sequence_number:",
            "if False:",
            ("tests/property/test_watermark.py::test_the_checkpoint_is_the_proven_settled_prefix",),
        ),
        "the checkpoint stands still under load": Mutant(
            "stream_router/consumer/child/watermark.py",
            "if len(self._unchecked) > 1 and self._unchecked[-1][0] - self._unchecked[-2][0] < POSITION_SPACING_S:",
            "if self._unchecked and accepted_at - self._unchecked[-1][0] < POSITION_SPACING_S:",
            ("tests/property/test_watermark.py::test_steady_progress_is_checkpointed",),
        ),
    },
    "Nothing that was sent to a bus that was gone": {
        "a bus that was made anew is the old one": Mutant(
            "stream_router/consumer/target_check.py",
            "            if isinstance(result, TargetOk) and self._is_another_bus(result):\n",
            "            if False:\n",
            ("tests/unit/test_target_check.py",),
        ),
        "a child that lived through a break stays": Mutant(
            "stream_router/consumer/target_check.py",
            "        return self._last_report.since_s > self._started_s\n",
            "        return False\n",
            ("tests/unit/test_target_check.py",),
        ),
    },
    "An idle consumer asks": {
        "a child that waits for a check is not noticed": Mutant(
            "stream_router/consumer/target_check.py",
            "            return self._request_file.stat().st_mtime >= self._began_s\n",
            "            return False\n",
            ("tests/unit/test_target_check.py::test_a_waiting_thread_notices_a_child_within_a_second",),
        ),
        "an idle consumer checks as if events flowed": Mutant(
            "stream_router/consumer/target_check.py",
            "        return max(active_s, IDLE_INTERVAL_S)\n",
            "        return active_s\n",
            ("tests/integration/test_control_plane_calls.py",),
        ),
    },
    "Every per-entry failure": {
        "what failed inside an answer is passed over": Mutant(
            "stream_router/aws_answers.py",
            'ACCEPTED if result.get(first_field) and not result.get("ErrorCode") else',
            "ACCEPTED if first_field else",
            ("tests/unit/test_aws_answers.py",),
        ),
        "an answer of another length is believed": Mutant(
            "stream_router/aws_answers.py",
            "    if len(results) != entry_count:\n        raise _UnreadableError\n",
            "",
            ("tests/fault/test_fault_matrix.py",),
        ),
        "no answer counts as accepted": Mutant(
            "stream_router/aws_answers.py",
            'a classic PutEvents call, by position."""\n',
            'a classic PutEvents call, by position."""\n    if answer.status == 0:\n        return [ACCEPTED] * sent\n',
            ("tests/fault/test_fault_matrix.py",),
        ),
    },
    "In an outage of AWS": {
        "an outage spends an entry's budget": Mutant(
            "stream_router/pipeline/delivery/blame.py",
            "if accepted < BLAME_SHARE * others:",
            "if False:",
            (
                "tests/unit/test_engine_in_time.py::test_an_hour_of_random_failures_at_an_event_a_second_buries_nothing_but_the_sick",
                "tests/unit/test_engine_in_time.py::test_an_outage_is_probed_and_buries_nothing",
            ),
        ),
        "an outage buries": Mutant(
            "stream_router/pipeline/delivery/dispatcher.py",
            "if self._policy.outage_gives_up and has_tried and now - self.gate.held_since >= SPREAD_S:",
            "if self.gate.failures > 3:",
            (
                "tests/fault/test_fault_matrix.py::test_an_outage_is_held_through",
                "tests/unit/test_engine_in_time.py::test_an_outage_is_probed_and_buries_nothing",
            ),
        ),
    },
    "A sick event delays itself": {
        "the whole call waits for one entry": Mutant(
            "stream_router/pipeline/sinks/eventbridge/publisher.py",
            'return (conversation(item) if self.ordered else "") or id(item)',
            'return "all"',
            ("tests/unit/test_engine_in_time.py::test_a_sick_entry_delays_its_own_conversation_and_no_other",),
        ),
    },
    "However many events": {
        "probes carry what is first": Mutant(
            "stream_router/pipeline/delivery/dispatcher.py",
            "        if self.gate.last_call_brought_nothing:\n",
            "        if False:\n",
            ("tests/property/test_engine.py::test_what_is_well_gets_through_beside_what_never_does",),
        ),
    },
    "A bad event, or a bad line": {
        "a bad line takes its record along": Mutant(
            "stream_router/envelope.py",
            "            opened += _open_documents(record, len(opened), line, cut_documents(line))\n",
            "            return [_make_unreadable_letter(record, 0, record.data)]\n",
            ("tests/unit/test_envelope.py::test_a_record_is_opened_into_these",),
        ),
    },
    "A record that kills its process": {
        "a killer is never named": Mutant(
            "stream_router/consumer/child/crash_guard.py",
            "if self.once or self.at_work == self.suspect:",
            "if False:",
            ("tests/integration/test_child.py::test_a_record_that_kills_the_process_is_buried_alone",),
        ),
        "a killer that was put back costs many deaths": Mutant(
            "stream_router/consumer/child/crash_guard.py",
            "if self.once or self.at_work == self.suspect:",
            "if self.at_work == self.suspect:",
            ("tests/integration/test_child.py::test_a_killer_that_is_redriven_costs_one_death_and_the_shard_goes_on",),
        ),
    },
    "A dead letter carries": {
        "a dead letter counts as stored when SQS fails": Mutant(
            "stream_router/pipeline/sinks/dead_letters/queue.py",
            "        return [_hold_if_minimal(message, outcome) for message, outcome in zip(items, outcomes, strict=True)]\n",
            "        return [ACCEPTED for _ in items]\n",
            ("tests/unit/test_dead_letters.py::test_while_the_queue_is_down_the_shard_holds",),
            also=("aws_answers import Answer", "aws_answers import ACCEPTED, Answer"),
        ),
        "SQS's MD5 is not looked at": Mutant(
            "stream_router/aws_answers.py",
            ' and result.get("MD5OfMessageBody") == body_md5s[index]',
            "",
            ("tests/unit/test_dead_letters.py::test_a_wrong_md5_settles_nothing",),
        ),
        "a letter's bytes lose their ends": Mutant(
            "stream_router/pipeline/sinks/dead_letters/message.py",
            "base64.b64encode(raw).decode()",
            "base64.b64encode(raw.strip()).decode()",
            ("tests/unit/test_letter.py::test_every_letter_keeps_its_bytes_and_counts_its_size",),
        ),
    },
    "Wrong data holds no shard": {
        "the alarm on dead letters is never raised": Mutant(
            "stream_router/consumer/child/dead_letter_alarm.py",
            "letters > accepted",
            "letters > 1_000_000",
            ("tests/unit/test_dead_letter_alarm.py",),
        ),
        "the alarm on dead letters never ends": Mutant(
            "stream_router/consumer/child/dead_letter_alarm.py",
            "elif self.raised and now - self._last_true_at >= ALARM_PERIOD_S:",
            "elif False:",
            ("tests/unit/test_dead_letter_alarm.py",),
        ),
    },
    "No event claims a masking": {
        "an entry that is put back keeps its tag": Mutant(
            "stream_router/pipeline/transform.py",
            'marks["complianceTag"] = orjson.dumps(RESUBMITTED)',
            'marks.setdefault("complianceTag", orjson.dumps(RESUBMITTED))',
            ("tests/unit/test_envelope_resubmitted.py::test_an_entry_carries_no_tag_of_a_policy_that_did_not_run",),
        ),
    },
    "Every copy of an event": {
        "an id is by the time it came": Mutant(
            "stream_router/event_id.py",
            "join((scheme.encode(), ",
            "join((str(id(body_hash)).encode(), ",
            ("tests/unit/test_envelope.py::test_an_identity_is_the_contracts_digest",),
        ),
    },
    "A crash brings back at most": {
        "a checkpoint rests on an old proof": Mutant(
            "stream_router/consumer/child/checkpoints.py",
            "and self._target.proven_s > self._last_used_check_s",
            "and False",
            ("tests/unit/test_checkpoints.py::test_a_checkpoint_comes_with_the_proof_that_it_waits_for",),
        ),
    },
    "Nothing is sent twice": {
        "the HTTP library sends again by itself": Mutant(
            "stream_router/aws/signed_calls.py",
            "        if self.is_sent:\n            return pycurl.PREREQFUNC_ABORT\n",
            "",
            (
                "tests/integration/test_transport.py::test_a_kept_connection_that_is_reset_costs_its_call_and_sends_nothing_again",
            ),
        ),
        "the whole call is sent again for one entry": Mutant(
            "stream_router/pipeline/delivery/dispatcher.py",
            "        pairs = list(zip(items, outcomes, strict=True))\n",
            '        for item in items:\n            self._schedule_retry(item, now + 0.1, "InternalFailure")\n        return\n',
            ("tests/simulation/test_simulation.py::test_no_seed_breaks_a_promise",),
        ),
    },
    "A bus that takes calls and answers none": {
        "a silent bus is probed as often as any other": Mutant(
            "stream_router/pipeline/delivery/dispatcher.py",
            "        if timed_out and self.blame.accepted_at < sent_at + SLOW_S:\n",
            "        if False:\n",
            ("tests/unit/test_engine_in_time.py::test_a_silent_bus_gets_one_entry_after_ever_longer_pauses",),
        ),
        "the probe of a silent bus is a whole call": Mutant(
            "stream_router/pipeline/delivery/dispatcher.py",
            "        return self._to.take(deque([self._ready.pop()]))\n",
            "        return self._to.take(self._ready)\n",
            ("tests/unit/test_engine_in_time.py::test_a_silent_bus_gets_one_entry_after_ever_longer_pauses",),
        ),
    },
    "A change of `STREAM_ROUTER_BUCKETS`": {
        "the remainder of the hash chooses the group": Mutant(
            "stream_router/envelope.py",
            "    return conversation * groups >> CONVERSATION_BITS\n",
            "    return conversation % groups\n",
            ("tests/property/test_partition_groups.py",),
        ),
        "any number of shards is taken": Mutant(
            "stream_router/operate/shards.py",
            "    if ordered and groups % wanted:\n",
            "    if False:\n",
            ("tests/unit/test_shards.py::test_with_order_the_groups_borders_must_be_the_shards",),
        ),
    },
    "A v2 bus publishes each event once": {
        "a v2 entry has no deduplication id": Mutant(
            "stream_router/pipeline/sinks/eventbridge/wire_format.py",
            '"DeduplicationId"',
            '"DeduplicationIdentity"',
            ("tests/integration/test_child.py::test_a_copy_is_published_once_on_a_v2_bus",),
        ),
    },
    "With `ordering=conversation` the bus": {
        "conversations overtake themselves": Mutant(
            "stream_router/pipeline/sinks/eventbridge/publisher.py",
            "        if not self._enabled:\n            return list(entries)\n",
            "        return list(entries)\n",
            ("tests/property/test_engine.py::test_every_entry_ends_in_exactly_one_place",),
        ),
        "the receiver groups by the event, not by its conversation": Mutant(
            "stream_router/receiver/intake.py",
            "envelope.find_conversation(value, identity, self._paths)",
            "identity",
            (
                "tests/unit/test_receiver_intake.py::test_an_event_of_nices_is_grouped_by_the_conversation_that_the_consumer_reads",
            ),
        ),
    },
    "After a lost lease": {
        "the lease is lost but calls go on": Mutant(
            "stream_router/consumer/child/shard.py",
            '        self._router.stop()\n        log.info("The shard was given back."',
            '        log.info("The shard was given back."',
            ("tests/unit/test_shard.py::test_once_the_lease_is_given_back_no_call_is_started",),
        ),
        "what comes back after a hand-off starts calls": Mutant(
            "stream_router/pipeline/route.py",
            "            dispatcher.stop()\n",
            "            pass\n",
            ("tests/unit/test_shard.py::test_once_the_lease_is_given_back_no_call_is_started",),
        ),
    },
    "A shard's end is checkpointed": {
        "a shard ends though its children have no leases": Mutant(
            "stream_router/consumer/child/shard_end.py",
            '        if "Item" not in result:\n',
            "        if False:\n",
            ("tests/unit/test_shard_end.py",),
        ),
        "a shard's untrue end is asked for once all is settled": Mutant(
            "stream_router/consumer/child/shard.py",
            "            end_check.send_next_call(self._checkpoints.last_received)\n",
            "            if not router.backlog:\n                end_check.send_next_call(self._checkpoints.last_received)\n",
            ("tests/simulation/test_simulation.py::test_no_odd_seed_breaks_a_promise",),
        ),
        "a shard's end that was not taken is answered as done": Mutant(
            "stream_router/consumer/child/checkpoints.py",
            "            if self._clock() > deadline:\n                raise error\n",
            "            if self._clock() > deadline:\n                return\n",
            (
                "tests/unit/test_checkpoints.py::test_a_checkpoint_that_is_throttled_is_tried_again_and_one_that_is_refused_is_a_fault",
            ),
        ),
    },
    "Memory of a child is bounded": {
        "the window has no bound": Mutant(
            "stream_router/consumer/child/window.py",
            "if self.pending_bytes >= self._max_bytes:",
            "if False:",
            ("tests/property/test_window.py",),
        ),
    },
    "A stop ends in time": {
        "a child that was told to stop waits for the bus": Mutant(
            "stream_router/consumer/child/shard.py",
            "self.stop_by = self.stop_by or self._clock() + STOP_TIMEOUT_S",
            "self.stop_by = self.stop_by or self._clock() + 3600.0",
            ("tests/integration/test_child.py::test_sigterm_in_an_outage_ends_the_child_soon_and_loses_nothing",),
        ),
    },
    "A stop under load": {
        "the last checkpoint of a stop is left out": Mutant(
            "stream_router/consumer/child/shard.py",
            "                while not self._take_checkpoint(message.checkpointer) and self._has_time:\n                    self._work_once(MAX_CALLBACK_WAIT_S)\n",
            "                pass\n",
            ("tests/fault/test_clean_stops.py::test_a_clean_stop_under_load_twenty_times",),
            within_s=900,
        ),
    },
    "The shards of a worker that is killed": {
        "leases of the dead are looked for every two minutes": Mutant(
            "properties/consumer.properties",
            "leaseAssignmentIntervalMillis = 5000",
            "leaseAssignmentIntervalMillis = 120000",
            ("tests/system/test_takeover.py::test_a_killed_worker_that_does_not_lead_is_replaced_soon",),
            within_s=900,
        ),
    },
    "A shard that nobody reads, whatever the reason": {
        "an outage is a standstill": Mutant(
            "stream_router/consumer/supervisor/stuck.py",
            "        before = self._standstills\n",
            "        if observation.signs is None:\n            self._observed_s = observation.at_s\n            return\n        before = self._standstills\n",
            ("tests/unit/test_stuck.py",),
        ),
        "a restart is followed by the next": Mutant(
            "stream_router/consumer/supervisor/stuck.py",
            "(StuckState.DELAYED, StuckEvent.DUE): (StuckState.RESTING, Action.RESTART),",
            "(StuckState.DELAYED, StuckEvent.DUE): (StuckState.WATCHING, Action.RESTART),",
            ("tests/property/test_stuck.py",),
        ),
        "a lease that is not handed over is read": Mutant(
            "stream_router/consumer/supervisor/stream_watch.py",
            "        signs[shard_id] = NOT_HANDED_OVER if lease.checkpoint_owner else lease\n",
            "        signs[shard_id] = lease\n",
            ("tests/unit/test_stuck.py",),
        ),
    },
    "A daemon whose lease coordinator": {
        "nobody hears that it failed": Mutant(
            "stream_router/consumer/supervisor/daemon_log.py",
            "            if NOT_INITIALIZED in message:\n",
            "            if False:\n",
            (
                "tests/integration/test_supervisor.py::test_a_daemon_that_did_not_initialize_is_restarted_at_once_and_that_is_no_crash",
            ),
        ),
    },
    "An outage of Kinesis or DynamoDB": {
        "minutes of an outage count": Mutant(
            "stream_router/consumer/supervisor/hang_watch.py",
            "int(self._services_answer())",
            "1",
            ("tests/unit/test_hang_watch.py::test_an_outage_of_stream_or_lease_table_kills_nobody",),
        ),
    },
    "A rolling restart": {
        "the last checkpoint is the bare one": Mutant(
            "stream_router/consumer/child/shard.py",
            "while not self._take_checkpoint(message.checkpointer) and",
            "while message.checkpointer.checkpoint() is not None and",
            ("tests/system/test_scaling.py::test_a_rolling_restart_loses_nothing",),
            within_s=900,
        ),
    },
    "Consumers that join": {
        "the leader balances every four minutes": Mutant(
            "properties/consumer.properties",
            "leaseAssignmentIntervalMillis = 5000",
            "leaseAssignmentIntervalMillis = 90000",
            ("tests/system/test_scaling.py::test_four_consumers_share_the_shards_of_two_and_lose_nothing",),
            within_s=900,
        ),
    },
    "A dead letter that is resubmitted": {
        "redrive deletes before the stream has the event": Mutant(
            "stream_router/operate/dlq.py",
            "            yield OutgoingLine(line, letter.find_conversation",
            "            self._delete(letter.messages)\n            yield OutgoingLine(line, letter.find_conversation",
            ("tests/integration/test_dlq.py::test_none_is_lost_whatever_happens",),
        ),
        "a line that the stream refused counts as put back": Mutant(
            "stream_router/operate/stream_writer.py",
            'return "" if result.get("ErrorCode") else result.get("SequenceNumber", "")',
            'return result.get("SequenceNumber", "0")',
            ("tests/integration/test_dlq.py::test_none_is_lost_whatever_happens",),
        ),
    },
    "A replay that is stopped": {
        "a continued replay does not count what it stored before": Mutant(
            "stream_router/operate/replay.py",
            "                if self._stored_before[event.event_id]:\n",
            "                if False:\n",
            ("tests/property/test_replay_goes_on.py",),
        ),
    },
    "A sender without a valid secret": {
        "a signature is not compared": Mutant(
            "stream_router/receiver/auth.py",
            "is_valid |= hmac.compare_digest(signature, expected)",
            "is_valid |= True",
            ("tests/property/test_receiver_auth.py",),
        ),
        "an old delivery is let in": Mutant(
            "stream_router/receiver/auth.py",
            "abs(now_s - _parse_seconds(timestamp)) > window_s",
            "now_s < 0",
            ("tests/unit/test_receiver_auth.py",),
        ),
    },
    "Consumers of a new application": {
        "the daemon starts before its lease table is there": Mutant(
            "stream_router/consumer/supervisor/supervisor.py",
            "        if not self._wait_for_table():\n",
            "        if False:\n",
            ("tests/system/test_lease_table.py::test_one_consumer_whose_index_would_be_refused_begins",),
        ),
    },
    "While nothing flows": {
        "leases are balanced by CPU": Mutant(
            "properties/consumer.properties",
            "disableWorkerMetrics = true\n",
            "disableWorkerMetrics = false\n",
            ("tests/system/test_lease_balance.py::test_cpu_moves_no_lease",),
            within_s=600.0,
        ),
    },
    "An admin port answers no host name": {
        "any name of a host is answered": Mutant(
            "stream_router/telemetry/admin_server.py",
            "        if not all(self._is_permitted_host(host) for host in hosts):\n",
            "        if False:\n",
            ("tests/integration/test_admin_port.py::test_only_hosts_that_cannot_be_anothers_are_answered",),
        ),
    },
    "A bus that `setup` or the template": {
        "a bus under a key gets no dead-letter queue": Mutant(
            "stream_router/operate/resources.py",
            '        own: Any = {"DeadLetterConfig": {"Arn": self._dead_letters}} if "dead letters" in self.changes else {}\n',
            "        own: Any = {}\n",
            ("tests/unit/test_setup.py::test_a_bus_under_a_key_gets_dead_letters_and_keeps_what_else_it_has",),
        ),
    },
    "Log, `/status`, `top`, page": {
        "the state that stands last counts": Mutant(
            "stream_router/telemetry/verdict.py",
            "    first = min(conditions, key=lambda condition: _RANK[condition.code], default=Condition(Code.WELL))\n",
            "    first = max(conditions, key=lambda condition: _RANK[condition.code], default=Condition(Code.WELL))\n",
            ("tests/unit/test_verdict.py",),
        ),
    },
    "The spill writes through no": {
        "a link is followed": Mutant(
            "stream_router/receiver/spill.py",
            "_APPEND = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC\n",
            "_APPEND = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC\n",
            ("tests/unit/test_spill_open.py::test_neither_the_lock_nor_what_is_set_aside_follows_a_link",),
        ),
    },
    "Requests without a valid signature": {
        "a stranger's answer counts among the latencies": Mutant(
            "stream_router/receiver/app.py",
            "        if request.verified:\n",
            "        if True:\n",
            (
                (
                    "tests/integration/test_receiver_process.py::"
                    "test_latencies_are_of_verified_deliveries_and_strangers_are_counted_by_reason"
                ),
            ),
        ),
    },
    "A message of the spill queue": {
        "a message that keeps failing is kept": Mutant(
            "stream_router/receiver/spill_queue.py",
            "        long_ago_s = self._loop.time() - GIVE_BACK_AFTER_S\n",
            "        long_ago_s = float('-inf')\n",
            (
                (
                    "tests/unit/test_spill_queue.py::"
                    "test_a_message_that_keeps_failing_goes_back_to_a_receiver_that_reaches_the_stream"
                ),
            ),
        ),
    },
    "No event of up to 1 MiB": {
        "the digits of a text are not counted": Mutant(
            "stream_router/pipeline/masking/search.py",
            "        if digits > MAX_DIGITS or signs > self._signs_left or self._tries_left <= 0:\n",
            "        if False:\n",
            ("tests/property/test_search_costs.py",),
        ),
    },
    "A captured request whose time": {
        "an id that is not signed is believed": Mutant(
            "stream_router/receiver/auth.py",
            "return identity if first_ids is None else first_ids.first(remembered, identity, now_s)",
            "return identity",
            (
                (
                    "tests/unit/test_receiver_auth.py::"
                    "test_the_first_of_ids_that_are_not_signed_counts_while_the_signature_could_pass"
                ),
            ),
        ),
    },
    "Nothing but the child's own protocol": {
        "standard output is not shielded": Mutant(
            "stream_router/consumer/child/daemon_lines.py",
            "    os.dup2(2, 1)\n    sys.stdout = sys.stderr\n",
            "",
            ("tests/integration/test_child.py::test_nothing_but_the_protocol_can_reach_the_daemon",),
        ),
        "a program that gives credentials reads the daemon's lines": Mutant(
            "stream_router/consumer/child/daemon_lines.py",
            "    os.dup2(dev_null, 0)\n",
            "",
            ("tests/integration/test_child.py::test_a_program_that_gives_credentials_takes_no_line_of_the_daemons",),
        ),
    },
    "Telemetry holds up no event": {
        "a stop waits for CloudWatch": Mutant(
            "stream_router/telemetry/cloudwatch.py",
            "        last.join(FINAL_SEND_TIMEOUT_S)",
            "        last.join()",
            ("tests/unit/test_status.py::test_a_cloudwatch_that_hangs_holds_up_no_stop",),
        ),
        "a log that nobody reads is waited for": Mutant(
            "stream_router/log.py",
            "                if not self._is_writable():\n                    return False\n",
            "",
            ("tests/unit/test_logs.py::test_a_log_that_nobody_reads_holds_nobody_up",),
        ),
    },
    "What is counted": {
        "a restarted child's counts are forgotten": Mutant(
            "stream_router/telemetry/merged.py",
            "        self._ended.add(self._latest.pop(file, Snapshot()))\n",
            "        self._latest.pop(file, None)\n",
            ("tests/integration/test_telemetry_truth.py",),
        ),
    },
    "Percentiles are within": {
        "histograms are merged by averaging": Mutant(
            "stream_router/telemetry/histogram.py",
            "        self._counts += other._counts  #",
            "        self._counts = (self._counts + other._counts) // 2  #",
            ("tests/integration/test_percentiles_everywhere.py",),
        ),
    },
    "With the masking policy": {
        "what cannot be masked goes out as it is": Mutant(
            "stream_router/pipeline/transform.py",
            "                raise _masking_failed(self._type_attribute(event_type), error) from None\n",
            "                str(error)\n",
            ("tests/unit/test_masking_policy.py::test_masking_fails_closed",),
        ),
        "a value of a field that nobody names passes": Mutant(
            "stream_router/pipeline/masking/policy.py",
            "                if item is None or not closed:\n",
            "                if item is None or not closed or kind is int:\n",
            ("tests/property/test_masking.py::test_each_leaf_is_allowed_by_a_rule_or_is_a_mask",),
        ),
        "an object that nobody knows shows its keys": Mutant(
            "stream_router/pipeline/masking/policy.py",
            "            return value\n        notes.redacted += 1\n        return REDACTED\n",
            "            return value\n        notes.redacted += 1\n        return dict.fromkeys(value, REDACTED) if type(value) is dict else REDACTED\n",
            (
                "tests/unit/test_nice_examples.py::test_a_made_up_field_in_any_object_does_not_pass",
                "tests/property/test_masking.py::test_each_leaf_is_allowed_by_a_rule_or_is_a_mask",
            ),
        ),
    },
    "No payload is in a log": {
        "what AWS says of an event's content is told": Mutant(
            "stream_router/pipeline/delivery/dispatcher.py",
            '"" if is_content else refusal.message',
            "refusal.message",
            ("tests/unit/test_dispatch.py::test_what_aws_says_of_content_comes_into_no_log",),
        ),
    },
    "If AWS refuses a call of the KCL daemon": {
        "a refusal of the daemon's call is over at once": Mutant(
            "stream_router/consumer/supervisor/daemon_refusals.py",
            "            seen.noted_at = now\n",
            "            seen.noted_at = now - REFUSAL_EXPIRY_S\n",
            ("tests/unit/test_daemon_refusals.py",),
        ),
    },
}
"""By how a line of docs/guarantees.md begins: each mistake is noticed by a test that the line names."""
