"""`stream-router health NAME`: it asks the one program that it is told of, and no other."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from stream_router.cli import app
from tests.environment import given
from tests.ports import free_port

pytestmark = pytest.mark.usefixtures("empty_environment")


@contextmanager
def answering(status: int) -> Iterator[str]:
    """The HOST:PORT of an admin port whose /healthz has this status."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_dead_consumer_beside_a_living_receiver_ends_it_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """So does one that is ill. Without a token, past a proxy of the environment; the probe names a program."""
    nobody = f"127.0.0.1:{free_port()}"
    with answering(200) as receiver, answering(503) as ill:
        for consumer in (nobody, ill):
            settings = {"STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": receiver, "STREAM_ROUTER_ADMIN_LISTEN": consumer}
            given(monkeypatch, {**settings, "http_proxy": f"http://{nobody}"})
            ended = [CliRunner().invoke(app, ["health", *name]).exit_code for name in (["receive"], ["consume"], [])]
            assert ended == [0, 1, 2]
