"""What validating, transforming and masking one event costs, as ratios to orjson reading and writing the same event.

Run: python -m benchmarks.transform [--json]. One core, no network; half a minute. Each figure is the least of many
rounds, and a round takes all figures one after the other, so that a busy machine disturbs them alike.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import orjson

from benchmarks.masking_cost import message_created
from stream_router.consumer.transform_config import transform_config
from stream_router.envelope import open_record, seal
from stream_router.model import DeadLetter, Entry, Event, Record
from stream_router.pipeline.masking.search import Search
from stream_router.pipeline.transform import Transform
from stream_router.settings.consumer import Consumer

EVENTS = 500
ROUNDS = 40
SEARCHED_CHARS = 800
TEXT = (
    "Guten Tag, ich habe am 24.11.2026 um 09:30 Uhr angerufen, weil meine Rechnung 2026-11-000123 über 1.234,56 EUR "
    "nicht stimmt. Meine Kundennummer ist 40938475. Bitte rufen Sie mich unter +49 30 901820 zurück oder schreiben Sie "
    "an anna.schmidt@example.com. Die Karte 4111 1111 1111 1111 wurde zweimal belastet. "
)

SHORT = {
    "no number": "Guten Tag, meine Rechnung stimmt nicht, bitte prüfen Sie das",
    "an hour": "Der Rückruf war für 15:30 Uhr vereinbart, niemand rief an.",
    "three numbers": "Meine Kundennummer ist 40938475, die Rechnung 2026-11-000123",
    "a phone": "Bitte rufen Sie mich unter 030 901820 zurück, danke schön.",
}
SEARCH = Search(("DE", "GB"))


def body(number: int) -> dict[str, Any]:
    """An event of 0.6 KB, no two alike."""
    return {
        "interactionId": f"int-8f14e45f-ceea-467f-a9d2-{number:012x}",
        "conversationId": f"conv-3c59dc04-8c2d-4a3f-9b1e-{number % 97:012x}",
        "eventType": "conversation.updated",
        "timestamp": f"2026-11-24T09:{number % 60:02d}:{number % 59:02d}.{number % 1000:03d}Z",
        "payload": {
            "channel": "chat",
            "queue": "Support München",
            "skillNo": 4711,
            "priority": 3,
            "agent": {"id": f"a-{number}", "firstName": "Jürgen", "team": "Billing"},
            "customer": {"email": "anna.schmidt@example.com", "phone": "+49 30 901820", "tier": "gold"},
            "message": {"text": "Guten Tag, meine Rechnung stimmt nicht, bitte prüfen.", "length": 54},
            "waitSeconds": 12.5,
            "startedAt": "2026-11-24T09:28:11.000Z",
            "tags": ["billing", "vip"],
        },
    }


def events(texts: list[bytes]) -> list[Event]:
    """As the child gets them: sealed, opened, parsed; a few events arrive in one millisecond."""
    found: list[Event | DeadLetter] = []
    for at, text in enumerate(texts):
        line = seal(f"{at:032x}", "delivery", 1_795_512_601_000 + at // 4, text)
        found += open_record(Record(line, at))
    return [event for event in found if isinstance(event, Event)]


def transform(masking: str) -> Transform:
    settings = {"aws_region": "eu-central-1", "sqs_dlq_url": "https://sqs.invalid/q", "masking": masking}
    return Transform(transform_config(Consumer.model_validate(settings)), lambda: time.time() * 1000)


def over(function: Callable[[Any], object], items: list[Any]) -> Callable[[], None]:
    def run() -> None:
        for item in items:
            function(item)

    return run


def searched(text: str) -> None:
    SEARCH.begin()
    SEARCH.text(text)


def cases() -> dict[str, Callable[[], None]]:
    compact = [orjson.dumps(body(number)) for number in range(EVENTS)]
    spaced = [text.replace(b'":', b'": ').replace(b',"', b', "') for text in compact]
    text = (TEXT * 3)[:SEARCHED_CHARS]
    messages = [orjson.dumps({**message_created(), "eventId": f"id-{number:012x}"}) for number in range(EVENTS)]
    plain, masked = transform("off"), transform("default")
    for made in (plain, masked):
        assert all(isinstance(made(event), Entry) for event in events(compact + spaced))
    found: dict[str, Callable[[], None]] = {
        "orjson loads + dumps": over(lambda one: orjson.dumps(orjson.loads(one)), compact),
        "validate + transform": over(plain, events(compact)),
        "validate + transform, spaced JSON (read twice)": over(plain, events(spaced)),
        "the same with the policy default": over(masked, events(compact)),
        "NICE's MessageCreated": over(plain, events(messages)),
        "NICE's MessageCreated with the policy default": over(masked, events(messages)),
        **{
            f"search in 60 characters, {name} (characters)": over(searched, [short[:60].ljust(60)] * 50)
            for name, short in SHORT.items()
        },
        f"search in {len(text)} characters": over(searched, [text] * 50),
    }
    return found


def measure() -> dict[str, float]:
    """Least microseconds an event, by case."""
    made = cases()
    counts = {name: 50 if "characters" in name else EVENTS for name in made}
    best = dict.fromkeys(made, float("inf"))
    for _ in range(ROUNDS):
        for name, run in made.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], (time.perf_counter() - start) / counts[name] * 1e6)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args()
    best = measure()
    base = best["orjson loads + dumps"]
    rows = {name: {"us": round(us, 2), "ratio": round(us / base, 2)} for name, us in best.items()}
    if arguments.json:
        sys.stdout.write(orjson.dumps({"eventBytes": len(orjson.dumps(body(1))), "cases": rows}).decode() + "\n")
        return
    print(f"event of {len(orjson.dumps(body(1)))} bytes, Python {sys.version.split()[0]}, orjson {orjson.__version__}")
    for name, row in rows.items():
        print(f"{name:50} {row['us']:9.2f} µs  {row['ratio']:6.2f} x")


if __name__ == "__main__":
    main()
