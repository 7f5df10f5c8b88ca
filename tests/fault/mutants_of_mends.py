"""Mistakes that the program had, and that were mended before its first release: each row undoes a mend."""

from tests.fault.mutant import Mutant

DAEMON = {
    "a shard's untrue end is asked for once all is settled": Mutant(
        "consumer/child/shard.py",
        "            end.ask(self._checkpoints.last_given)\n",
        "            if not router.backlog:\n                end.ask(self._checkpoints.last_given)\n",
        ("tests/unit/test_shard_end.py",),
    ),
    "a shard ends though its children have no leases": Mutant(
        "consumer/child/shard_end.py",
        '        if "Item" not in found:\n',
        "        if False:\n",
        ("tests/unit/test_shard_end.py",),
    ),
    "records that come a second time are taken": Mutant(
        "consumer/child/shard.py",
        "        if first <= self._given:\n",
        "        if False:\n",
        ("tests/unit/test_shard.py",),
    ),
    "a checkpoint stands within an aggregated record": Mutant(
        "consumer/child/watermark.py",
        "if following is not None and following.sequence_number == one.sequence_number:",
        "if False:",
        ("tests/property/test_watermark.py",),
    ),
    "a stop that comes as the shard is taken up is not heard": Mutant(
        "consumer/child/kcl_adapter.py",
        "            if self._leaving:",
        "            if False:",
        ("tests/unit/test_shard.py",),
    ),
    "records after the last checkpoint are taken up": Mutant(
        "consumer/child/shard.py",
        "        self.told_to_leave()  # what comes after it could be opened and never sent\n",
        "",
        ("tests/unit/test_shard.py",),
    ),
    "a program that gives credentials reads the daemon's lines": Mutant(
        "consumer/child/daemon_lines.py",
        "    os.dup2(nothing, 0)\n",
        "",
        ("tests/integration/test_child.py", "-k", "daemons_lines or credentials"),
    ),
}

PIPELINE = {
    "a success of before an event's first failure proves something": Mutant(
        "pipeline/delivery/blame.py",
        "begin = math.ceil(max(moment, now - MINUTE_S))",
        "begin = int(now - MINUTE_S)",
        ("tests/unit/test_dispatch.py",),
    ),
}

RECEIVER = {
    "a file of the spill goes with rows that were never read": Mutant(
        "receiver/spill.py",
        "            self._close_active()\n        try:\n            data =",
        "            pass\n        try:\n            data =",
        ("tests/property/test_spill_files.py",),
    ),
    "what landed late is not remembered": Mutant(
        "receiver/events.py",
        "            self._known[key] = delivery if partly else self._second_s\n",
        "            self._known.pop(key, None)\n",
        ("tests/unit/test_receiver_batcher.py",),
    ),
}

OPERATOR = {
    "a redrive puts back what it cannot delete": Mutant(
        "operate/dlq.py",
        "        if messages and (left := self._at.queue.delete(messages)):\n",
        "        if (left := self._at.queue.delete(messages)) and not messages:\n",
        ("tests/integration/test_dlq.py", "-k", "deletes_nothing"),
    ),
    "a redrive puts back what was stored masked": Mutant(
        "operate/letters.py",
        "        if self.letter.masking:\n",
        "        if not self.letter:\n",
        ("tests/integration/test_dlq.py", "-k", "does_not_go_back"),
    ),
}

UNDONE: dict[str, Mutant] = {**DAEMON, **PIPELINE, **RECEIVER, **OPERATOR}
