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
from stream_router.telemetry.receiver_stats import CODES, COUNTERS, GAUGES, LATENCY_BUCKETS_S, WIDTH, Row

PREFIX = "stream_router_receiver_"
ADMIN_TIMEOUT_S = 5.0
HELP = {
    "events_stored": "Events that the stream took",
    "events_spilled": "Events that went to the spill on disk",
    "events_refused": "Events of requests answered 503 because they could not be stored in time",
    "duplicates": "Deliveries seen before, answered 202 and not stored again",
    "calls": "PutRecords calls (events a call: events_stored by calls)",
    "call_failures": "PutRecords calls that failed whole",
    "records": "Kinesis records sent (records a call: records by calls)",
    "record_failures": "Kinesis records refused in a call that came through",
    "throttles": "Kinesis records refused for throughput",
    "bytes_received": "Bytes of request bodies",
    "spill_damaged": "Spilled events whose checksum was wrong when they came back; they are put aside on disk",
    "events_in_flight": "Events in memory that are not stored yet",
    "bytes_in_flight": "Their bytes",
    "spill_events": "Events that wait in the spill",
    "spill_bytes": "Their bytes",
    "up": "Workers that serve",
}


class Board:
    """One row of numbers a worker, in memory that survives a fork and is shared by it."""

    def __init__(self, workers: int) -> None:
        self._rows = np.frombuffer(mmap.mmap(-1, workers * WIDTH * 8), dtype=np.float64).reshape(workers, WIDTH)

    def row(self, worker: int) -> Row:
        """A worker's own row, to write to."""
        row: Row = self._rows[worker]
        return row

    def total(self) -> Row:
        """All workers together."""
        total: Row = self._rows.sum(axis=0)
        return total


class _Collector(Collector):
    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterable[Metric]:
        return families(self._board.total())


def families(total: Row) -> list[Metric]:
    """A row of numbers as Prometheus metrics."""
    numbers = iter(total.tolist())
    requests = CounterMetricFamily(PREFIX + "requests", "Requests by the status they were answered", labels=["code"])
    for code in CODES:
        requests.add_metric([str(code)], next(numbers))
    counters = [CounterMetricFamily(PREFIX + name, HELP[name], value=next(numbers)) for name in COUNTERS]
    gauges = [GaugeMetricFamily(PREFIX + name, HELP[name], value=next(numbers)) for name in GAUGES]
    return [requests, *counters, *gauges, _latency(list(numbers))]


def _latency(numbers: Sequence[float]) -> Metric:
    *counts, total_s = numbers
    sums = np.cumsum(counts).tolist()
    bounds = [*(str(bound) for bound in LATENCY_BUCKETS_S), "+Inf"]
    family = HistogramMetricFamily(PREFIX + "request_seconds", "From a request's headers to its answer")
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
