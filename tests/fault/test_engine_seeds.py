"""Two hundred thousand seeded fault scripts for the engine, each checked like the property tests check theirs."""

import random

import pytest

from tests.property.test_engine import assert_accounted, assert_ordered, assert_valid, run

SEEDS = 200_000
SHARES = 20
CODES = ["", "", "", "InternalFailure", "ThrottlingException", "MalformedDetail", "Unheard"]
FAULTS = ["", "", "", "500", "throttled", "expired", "no answer", "short", "html", "lost", "invalid"]


@pytest.mark.prove
@pytest.mark.timeout(600)
@pytest.mark.parametrize("share", range(SHARES))
def test_seeded_fault_scripts(share: int) -> None:
    """Whatever a seed makes of sizes, faults and keys: accounted for, valid, in order."""
    for seed in range(share, SEEDS, SHARES):
        dice = random.Random(seed)
        sizes = [dice.randint(100, 3000) for _ in range(dice.randint(0, 60))]
        script = [
            (dice.choice(FAULTS), [dice.choice(CODES) for _ in range(dice.randint(1, 7))])
            for _ in range(dice.randint(0, 25))
        ]
        ordered = bool(seed % 2)
        pipeline = run(sizes, script, ordered=ordered, keys=dice.randint(1, 9), seed=seed)
        assert_accounted(pipeline)
        assert_valid(pipeline)
        if ordered:
            assert_ordered(pipeline)
