"""How well the built-in detectors do on texts drawn anew: recall by language and form of writing, what they leave be.

Run: python -m benchmarks.detectors [--draw N] [--seed N] [--ids N] [--beside] [--json]. One core, no network. Phones
are libphonenumber's own examples with digits drawn at random and found valid; people, places, cards, IBANs, e-mail and
IP addresses are Faker's. Draw 0 are the sentences that the detectors were written with; each later draw was new when it
was first run (benchmarks/sentences/README.md). `--beside` adds `phonenumbers`, told the regions of a language, and
Presidio (benchmarks/presidio_beside.py says how it is set). Needs the extra `dev`.
"""

import argparse
import os
import random
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
import phonenumbers

from benchmarks import drawn, odd_forms, presidio_beside, sentence_draws
from benchmarks.drawn import Sample
from stream_router.pipeline.masking.detectors.finder import DETECTORS, finder

NEGATIVES_REGION = ("US",)
"""What the peers are told of a text with nobody's number."""

OURS, NAMED, LIBRARY, PRESIDIO = "ours", "ours, regions named", "phonenumbers", "presidio"
Judge = Callable[[Sample], bool]


def masked_whole(sample: Sample, masked: str) -> bool:
    """Whether nothing of the value is left but what any text has: three of its digits in a row count."""
    left, _, right = sample.text.replace(sample.value, "\0", 1).partition("\0")
    return (
        masked.startswith(left)
        and masked.endswith(right)
        and sample.value not in masked
        and not re.search(r"\d{3}", masked[len(left) : len(masked) - len(right)])
    )


def covered(sample: Sample, spans: Sequence[Sequence[int]]) -> bool:
    """Whether spans cover every letter and digit of the value."""
    start = sample.text.index(sample.value)
    places = (at for at, char in enumerate(sample.value, start) if char.isalnum())
    return all(any(first <= at < end for first, end in spans) for at in places)


def matches(text: str, regions: Sequence[str]) -> list[tuple[int, int]]:
    """What libphonenumber's own matcher finds, told the regions."""
    return [
        (match.start, match.end)
        for region in regions or ("ZZ",)
        for match in phonenumbers.PhoneNumberMatcher(text, region)
    ]


def judges(regions: set[tuple[str, ...]], *, beside: bool) -> dict[str, Judge]:
    plain = finder(tuple(DETECTORS))
    named = {told: finder(tuple(DETECTORS), told) for told in regions}
    ours: dict[str, Judge] = {
        OURS: lambda sample: masked_whole(sample, plain(sample.text, [])),
        NAMED: lambda sample: masked_whole(sample, named.get(sample.regions, plain)(sample.text, [])),
    }
    return {**ours, LIBRARY: lambda sample: covered(sample, matches(sample.text, sample.regions))} if beside else ours


def judged(samples: Sequence[Sample], *, beside: bool) -> tuple[dict[str, list[bool]], dict[str, float]]:
    """By who looks: whether each sample's value was found whole; and CPU in µs a text."""
    found, used_us = dict[str, list[bool]](), dict[str, float]()
    for name, judge in judges({one.regions for one in samples if one.regions}, beside=beside).items():
        started = time.process_time()
        found[name] = [judge(sample) for sample in samples]
        used_us[name] = round((time.process_time() - started) / len(samples) * 1e6, 1)
    answer = presidio_beside.find([(one.text, one.regions) for one in samples]) if beside else None
    if answer:
        found[PRESIDIO] = [covered(*pair) for pair in zip(samples, answer["found"], strict=True)]
        used_us[PRESIDIO] = round(answer["us"], 1)
    return found, used_us


def kept(texts: Sequence[str], *, beside: bool) -> tuple[dict[str, float], list[str]]:
    """By who looks: the share of texts in which nothing is found; and those in which we find something."""
    find = finder(tuple(DETECTORS))
    whole = {OURS: [find(text, []) == text for text in texts]}
    lost = sorted({re.sub(r"\d", "9", text) for text, same in zip(texts, whole[OURS], strict=True) if not same})
    if beside:
        whole[LIBRARY] = [not matches(text, NEGATIVES_REGION) for text in texts]
        if answer := presidio_beside.find([(text, NEGATIVES_REGION) for text in texts]):
            whole[PRESIDIO] = [not spans for spans in answer["found"]]
    return {name: sum(found) / len(found) for name, found in whole.items()}, lost


def measure(seed: int, ids: int, number: int, *, beside: bool, every: int = 1) -> dict[str, Any]:
    draw, chosen = random.Random(seed), sentence_draws.read(number)
    composed = [*drawn.samples(draw, chosen.sentences), *odd_forms.odd_forms(draw)]
    samples = [*composed, *drawn.in_forms(draw, chosen.sentences, chosen.forms)][::every]
    found, used_us = judged(samples, beside=beside)
    groups = defaultdict[str, list[int]](list)
    for at, sample in enumerate(samples):
        groups[sample.group].append(at)
    texts = list(odd_forms.negatives(draw, chosen.negatives))[::every]
    shares, lost = kept(texts, beside=beside)
    return {
        "draw": number,
        "seed": seed,
        "texts": len(samples),
        "every": every,
        "loadAverage": os.getloadavg()[0],
        "recall": {
            group: {
                "n": len(places),
                **{name: sum(map(told.__getitem__, places)) / len(places) for name, told in found.items()},
            }
            for group, places in groups.items()
        },
        "missed": missed(samples, found[OURS]),
        "negatives": len(texts),
        "negativesKept": shares,
        "negativesLost": lost,
        "damagedOf": ids,
        "damaged": odd_forms.damaged(draw, ids),
        "usPerText": used_us,
    }


def missed(samples: Sequence[Sample], found: Sequence[bool]) -> list[str]:
    """Announced phones that we miss, and all misses of other kinds."""
    wanted = [one for one, right in zip(samples, found, strict=True) if not right and "not announced" not in one.group]
    return [f"{one.group}: {one.text}" for one in wanted][:40]


def summary(found: dict[str, Any]) -> Iterator[str]:
    recall: dict[str, dict[str, float]] = found["recall"]
    groups: dict[str, list[str]] = defaultdict(list)
    for name in recall:
        groups[name.partition("/")[0]].append(name)
        if name.startswith("phone"):
            groups["all phones"].append(name)
            if name.startswith("phone announced"):
                groups["all announced phones"].append(name)
    who = list(found["usPerText"])
    yield f"{'':34} {'n':>6} " + " ".join(f"{name[-12:]:>12}" for name in who) + "   least (ours)"
    for group, names in groups.items():
        total = sum(recall[name]["n"] for name in names)
        means = [sum(recall[name]["n"] * recall[name][one] for name in names) / total for one in who]
        worst = sorted((recall[name][OURS], name.rpartition("/")[2]) for name in names if recall[name][OURS] < 1)[:6]
        told = ", ".join(f"{name} {share:.2f}" for share, name in worst)
        yield f"{group:34} {total:6.0f} " + " ".join(f"{mean:12.3f}" for mean in means) + f"   {told}"
    yield "negatives kept: " + ", ".join(f"{name} {share:.4f}" for name, share in found["negativesKept"].items())
    yield f"negatives lost by ours, of {found['negatives']}: {found['negativesLost'][:10]}"
    yield f"damaged of {found['damagedOf']:,} each: {found['damaged']}"
    yield f"CPU in µs a text: {found['usPerText']}"
    yield from (f"missed: {text}" for text in found["missed"][:20])


def hash_alike() -> None:
    """Start again with fixed hashes: Faker draws from sets, and a draw must be the same every time."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        command = [sys.executable, "-m", "benchmarks.detectors", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | {"PYTHONHASHSEED": "0"})


def main() -> None:
    parser, draws = argparse.ArgumentParser(description=__doc__), sentence_draws.NUMBERS
    parser.add_argument("--draw", type=int, default=max(draws), choices=draws, help="which sentences")
    parser.add_argument("--seed", type=int, default=20261126)
    parser.add_argument("--ids", type=int, default=20_000, help="ids and times of each kind to try")
    parser.add_argument("--beside", action="store_true", help="also phonenumbers, and Presidio where it is installed")
    parser.add_argument("--every", type=int, default=1, help="only every so many texts: Presidio takes its time")
    parser.add_argument("--install-presidio", action="store_true", help="in benchmarks/.presidio, some 400 MB; and end")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if chosen.install_presidio:
        presidio_beside.install()
        return
    if chosen.beside and not presidio_beside.PYTHON.exists():
        sys.stderr.write("Presidio is left out: --install-presidio installs it\n")
    found = measure(chosen.seed, chosen.ids, chosen.draw, beside=chosen.beside, every=chosen.every)
    if chosen.json:
        sys.stdout.write(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    for line in summary(found):
        print(line)


if __name__ == "__main__":
    hash_alike()
    main()
