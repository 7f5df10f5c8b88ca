"""What a load costs a month by service, and what others would cost: each line a product of a price and a number."""

from collections.abc import Mapping
from math import ceil

from stream_router.control.plan.capacity import Capacity, Fleet, Load
from stream_router.telemetry import metrics_catalogue
from stream_router.telemetry.receiver import receiver_metrics_catalogue

HOURS = 730
SECONDS = HOURS * 3600

PUT_UNIT_BYTES = 25_000
EVENT_UNIT_BYTES = 65_536
"""What a PUT payload unit, and an event or request of EventBridge, Pipes and SQS, covers (see prices.json)."""

DEAD_SHARE, DEAD_REQUESTS = 0.001, 3
"""An assumption: one event in a thousand becomes a dead letter, which is sent, received and deleted."""

LAMBDA_GB, LAMBDA_S = 0.25, 0.05
"""An assumption: a function that calls PutEvents has 256 MB and takes 50 ms."""

CHEAP_API_CALLS = 300e6
"""HTTP API requests of a month after which the lower price holds (see prices.json)."""


def product(load: Load, found: Capacity, usd: Mapping[str, float], entry_bytes: float) -> dict[str, float]:
    """Dollars a month of this product, by service."""
    millions = load.events_per_s * SECONDS / 1e6
    put_units = found.record_rate * ceil(found.record_bytes / PUT_UNIT_BYTES) * SECONDS / 1e6
    shard_hours = found.shards * HOURS
    metrics, metric_calls = metric_count(), senders(found) * HOURS * 60
    lcu = load.events_per_s * load.event_bytes * 3600 / 1e9
    return {
        "Kinesis": shard_hours * (usd["kinesis_shard_hour"] + usd["kinesis_retention_shard_hour"])
        + put_units * usd["kinesis_put_unit_million"],
        "EventBridge": millions * ceil(entry_bytes / EVENT_UNIT_BYTES) * usd["eventbridge_million"],
        "Fargate": _fargate(found.receivers, usd) + _fargate(found.consumers, usd),
        "load balancer": HOURS * (usd["alb_hour"] + lcu * usd["alb_lcu_hour"]),
        "DynamoDB": (
            found.lease_writes * usd["dynamodb_write_million"] + found.lease_reads * usd["dynamodb_read_million"]
        )
        * SECONDS
        / 1e6,
        "CloudWatch": metrics * usd["cloudwatch_metric"] + metric_calls / 1000 * usd["cloudwatch_thousand_requests"],
        "SQS": millions * DEAD_SHARE * DEAD_REQUESTS * usd["sqs_million"],
    }


def _fargate(fleet: Fleet, usd: Mapping[str, float]) -> float:
    each = fleet.vcpu * usd["fargate_vcpu_hour"] + fleet.gb * usd["fargate_gb_hour"]
    return fleet.tasks * HOURS * each


def metric_count() -> int:
    """The product's own metrics in CloudWatch: each of the catalogue that is sent always, with two sets of dimensions.

    The load balancer ends TLS here, so the receivers tell of no certificate.
    """
    own = (*metrics_catalogue.CONSUMER, *metrics_catalogue.STAGES.values(), *receiver_metrics_catalogue.IN_CLOUDWATCH)
    return 2 * sum(one.cloudwatch is not None and not one.cloudwatch.seldom for one in own)


def senders(found: Capacity) -> int:
    """Processes that send metrics: a child a shard, each consumer's supervisor, each receiver."""
    return found.shards + found.consumers.tasks + found.receivers.tasks


def lambda_and_eventbridge(load: Load, usd: Mapping[str, float], entry_bytes: float) -> dict[str, float]:
    """API Gateway, a Lambda function that calls PutEvents, EventBridge: dollars a month by service."""
    millions = load.events_per_s * SECONDS / 1e6
    return {
        "API Gateway": _api_gateway(millions, usd),
        "Lambda": millions * (usd["lambda_million"] + 1e6 * LAMBDA_GB * LAMBDA_S * usd["lambda_gb_second"]),
        "EventBridge": millions * ceil(entry_bytes / EVENT_UNIT_BYTES) * usd["eventbridge_million"],
    }


def kinesis_and_pipes(load: Load, usd: Mapping[str, float], entry_bytes: float) -> dict[str, float]:
    """API Gateway into Kinesis, a pipe to EventBridge: a record and a request an event, the same retention as ours."""
    millions = load.events_per_s * SECONDS / 1e6
    share = max(load.event_bytes / 1e6, 1 / 1000)
    shards = max(2, ceil(load.events_per_s * share / 0.5), ceil(load.peak_per_s * share / 0.8))
    units = ceil(load.event_bytes / PUT_UNIT_BYTES)
    return {
        "API Gateway": _api_gateway(millions, usd),
        "Kinesis": shards * HOURS * (usd["kinesis_shard_hour"] + usd["kinesis_retention_shard_hour"])
        + millions * units * usd["kinesis_put_unit_million"],
        "Pipes": millions * ceil(load.event_bytes / EVENT_UNIT_BYTES) * usd["pipes_million"],
        "EventBridge": millions * ceil(entry_bytes / EVENT_UNIT_BYTES) * usd["eventbridge_million"],
    }


def _api_gateway(millions: float, usd: Mapping[str, float]) -> float:
    dear = min(millions, CHEAP_API_CALLS / 1e6)
    return dear * usd["api_gateway_http_million"] + (millions - dear) * usd["api_gateway_http_more_million"]
