"""The receiver's `/metrics`: every worker writes its numbers to shared memory, one page adds them up."""

import mmap
import socket
import threading
from collections.abc import Iterable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from stream_router.settings.types import split_host_port
from stream_router.telemetry.receiver_stats import (
    ANSWERS,
    COUNTERS,
    FAILURES,
    GAUGES,
    LATENCY_BUCKETS_S,
    OF_THE_WORST,
    Row,
    gauge,
    width,
)

PREFIX = "stream_router_receiver_"
DEFAULT_SOURCE = "default"
"""What the label `source` says of the path without a name."""
ADMIN_TIMEOUT_S = 5.0
HELP = {
    "events_stored": "Events that the stream took",
    "events_spilled": "Events that went to the spill on disk",
    "events_refused": "Events of requests answered 503 because they could not be stored in time",
    "duplicates": "Deliveries seen before, answered 202 and not stored again",
    "calls": "PutRecords calls (events a call: events_stored by calls)",
    "call_failures": "PutRecords calls that failed whole",
    "records": "Kinesis records sent (records a call: records by calls)",
    "throttles": "Kinesis records refused for throughput",
    "bytes_received": "Bytes of request bodies",
    "spill_damaged": "Spilled events that were damaged or missing when they were looked for",
    "connections_accepted": "Connections that were taken",
    "connections_refused": "Connections closed as they came, at a limit",
    "connections_cut": "Connections closed because they took too long or made room for others",
    "events_in_flight": "Events in memory that are not stored yet",
    "bytes_in_flight": "Their bytes",
    "spilled_events": "Events that wait in the spill",
    "spill_bytes": "Bytes of the spill's files",
    "spill_oldest_age_seconds": "Age of the oldest event in the spill",
    "connections": "Connections that are open, counted from accept",
    "loop_lag_seconds": "How late the event loop comes to what has arrived",
    "stream_up": "1 while the stream takes events, as far as every worker knows",
    "spill_failing": "Workers whose spill takes nothing, for whatever reason",
    "up": "Workers that serve",
}


class Board:
    """One row of numbers a worker, in memory that survives a fork and is shared by it."""

    def __init__(self, workers: int, sources: Sequence[str] = ("",)) -> None:
        self.sources = tuple(sources)
        columns = width(len(self.sources))
        self._rows = np.frombuffer(mmap.mmap(-1, workers * columns * 8), dtype=np.float64).reshape(workers, columns)

    def row(self, worker: int) -> Row:
        """A worker's own row, to write to."""
        row: Row = self._rows[worker]
        return row

    def gone(self, worker: int) -> None:
        """A worker died: it is not up, and holds nothing any more. What it counted stays."""
        for name in GAUGES:
            self._rows[worker, gauge(name, len(self.sources))] = 0

    def total(self) -> Row:
        """All workers together."""
        total: Row = self._rows.sum(axis=0)
        for name, worst in OF_THE_WORST.items():
            column = gauge(name, len(self.sources))
            total[column] = worst(self._rows[:, column])
        return total


class _Collector(Collector):
    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterable[Metric]:
        return families(self._board.total(), self._board.sources)


def families(total: Row, sources: Sequence[str] = ("",)) -> list[Metric]:
    """A row of numbers as Prometheus metrics."""
    numbers = iter(total.tolist())
    requests = CounterMetricFamily(
        PREFIX + "requests", "Requests by source, status and reason", labels=["source", "code", "reason"]
    )
    for source in sources:
        for status, reason in ANSWERS:
            requests.add_metric([source or DEFAULT_SOURCE, str(status), reason], next(numbers))
    failed = CounterMetricFamily(PREFIX + "records_failed", "Kinesis records refused, by AWS's code", labels=["code"])
    for code in FAILURES:
        failed.add_metric([code], next(numbers))
    counters = [CounterMetricFamily(PREFIX + name, HELP[name], value=next(numbers)) for name in COUNTERS]
    gauges = [GaugeMetricFamily(PREFIX + name, HELP[name], value=next(numbers)) for name in GAUGES]
    return [requests, failed, *counters, *gauges, _latency(list(numbers))]


def _latency(numbers: Sequence[float]) -> Metric:
    *counts, total_s = numbers
    sums = np.cumsum(counts).tolist()
    bounds = [*(str(bound) for bound in LATENCY_BUCKETS_S), "+Inf"]
    family = HistogramMetricFamily(PREFIX + "request_duration_seconds", "From a request's headers to its answer")
    family.add_metric([], buckets=list(zip(bounds, sums, strict=True)), sum_value=total_s)
    return family


class _Page(BaseHTTPRequestHandler):
    """GET /metrics, and nothing else."""

    timeout = ADMIN_TIMEOUT_S
    registry: CollectorRegistry

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404)
            return
        page = generate_latest(self.registry)
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is the base class's)
        """Scrapes are not logged."""


class _ServerV6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


def serve(board: Board, listen: str) -> TCPServer:
    """Serve `/metrics` on a thread of this process until the returned server is shut down."""
    registry = CollectorRegistry()
    registry.register(_Collector(board))
    page = type("Page", (_Page,), {"registry": registry})
    host, port = split_host_port(listen)
    server = (_ServerV6 if ":" in host else ThreadingHTTPServer)((host, port), page)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
