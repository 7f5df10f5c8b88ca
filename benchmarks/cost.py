"""What do a million events cost, with this product and with what AWS itself offers?

`python -m benchmarks.cost [--event-bytes N] [--detail]`. Nothing is run: prices, figures and arithmetic are those of
`stream-router plan` (stream_router/control/plan: prices.json has the source and the date of each). `--detail` shows the
dollars of each service, so that a row can be worked out again with a calculator.
"""

import argparse

from stream_router.control.plan import command, cost, data
from stream_router.control.plan.capacity import Load
from stream_router.errors import SettingsError

RATES = (10, 100, 1_000, 10_000)
EVENT_BYTES, PEAK, REGION = 600, 2.0, "us-east-1"

OURS = "this product (Fargate)"
V2 = "EventBridge v2 webhooks"
NO_PRICE = "no price found"


def services(rate: float, event_bytes: int = EVENT_BYTES) -> dict[str, dict[str, float]]:
    """Dollars a month by way and service, at a mean of `rate` events a second."""
    load = Load(rate, event_bytes, PEAK, REGION)
    entry_bytes = event_bytes + data.measured()[0].entry_bytes
    with_lambda = cost.lambda_and_eventbridge(load, data.prices(), entry_bytes)
    return {
        OURS: command.plan(load).dollars,
        "API Gateway + Lambda + EventBridge": with_lambda,
        "Lambda with a function URL + EventBridge": _without(with_lambda, "API Gateway"),
        "API Gateway straight into EventBridge": _without(with_lambda, "Lambda"),
        "API Gateway + Kinesis + Pipes": cost.kinesis_and_pipes(load, data.prices(), entry_bytes),
    }


def _without(dollars: dict[str, float], service: str) -> dict[str, float]:
    return {name: usd for name, usd in dollars.items() if name != service}


def table(event_bytes: int = EVENT_BYTES) -> list[str]:
    """Dollars for a million events, as a Markdown table."""
    found = {rate: services(rate, event_bytes) for rate in RATES}
    lines = [
        "| dollars for a million events | " + " | ".join(f"{rate:,}/s" for rate in RATES) + " |",
        "|---|" + "---|" * len(RATES),
    ]
    for way in found[RATES[0]]:
        each = (sum(found[rate][way].values()) / (rate * cost.SECONDS / 1e6) for rate in RATES)
        lines.append(f"| {way} | " + " | ".join(f"{one:.2f}" for one in each) + " |")
    return [*lines, f"| {V2} | " + " | ".join([NO_PRICE] * len(RATES)) + " |"]


def detail(event_bytes: int = EVENT_BYTES) -> list[str]:
    """Dollars a month, a line for each service."""
    lines = []
    for rate in RATES:
        for way, dollars in services(rate, event_bytes).items():
            each = ", ".join(f"{name} {usd:,.2f}" for name, usd in dollars.items())
            lines.append(f"{rate:,}/s, {way}: {each}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--event-bytes", type=int, default=EVENT_BYTES, help=f"mean size, default {EVENT_BYTES}")
    parser.add_argument("--detail", action="store_true", help="the dollars of each service too")
    chosen = parser.parse_args()
    try:
        command.checked(RATES[0], chosen.event_bytes, PEAK, REGION)
    except SettingsError as error:
        parser.error(str(error))
    print("\n".join(table(chosen.event_bytes)))
    if chosen.detail:
        print("\n".join(detail(chosen.event_bytes)))


if __name__ == "__main__":
    main()
