"""`stream-router health NAME`: it asks the one program that it is told of, and no other."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from typer.testing import CliRunner

from stream_router.cli import app
from tests.environment import given
from tests.ports import free_port

pytestmark = pytest.mark.usefixtures("empty_environment")


@contextmanager
def answering(status: int) -> Iterator[str]:
    """The HOST:PORT of an admin port whose /healthz has this status."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()
            self.wfile.write(b"a word\n")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_dead_consumer_beside_a_living_receiver_ends_it_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """So does one that is ill. Without a token, past a proxy of the environment; the probe names a program."""
    with answering(200) as receiver, answering(503) as ill:
        nobody = f"127.0.0.1:{free_port()}"
        for consumer, status, said in ((nobody, 1, "consume gives no answer"), (ill, 1, "503 a word")):
            settings = {"STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": receiver, "STREAM_ROUTER_ADMIN_LISTEN": consumer}
            given(monkeypatch, {**settings, "http_proxy": f"http://{nobody}"})
            done = CliRunner().invoke(app, ["health", "receive"])
            assert (done.exit_code, done.output) == (0, f"http://{receiver}/healthz 200 a word\n")
            done = CliRunner().invoke(app, ["health", "consume"])
            assert (done.exit_code, said in done.output) == (status, True)
    assert CliRunner().invoke(app, ["health"]).exit_code == 2
