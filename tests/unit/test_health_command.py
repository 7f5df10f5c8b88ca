"""`stream-router health NAME`: it asks the one program that it is told of, and no other."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from typer.testing import CliRunner

from stream_router.cli import app
from stream_router.top import health
from tests.environment import given
from tests.ports import free_port

pytestmark = pytest.mark.usefixtures("empty_environment")


def ended(*arguments: str) -> tuple[int, str]:
    """Exit status and output of the command."""
    done = CliRunner().invoke(app, ["health", *arguments])
    return done.exit_code, done.output


VARIABLE = {"receive": "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN", "consume": "STREAM_ROUTER_ADMIN_LISTEN"}


@contextmanager
def answering(status: int, *, hangs: threading.Event | None = None) -> Iterator[str]:
    """The HOST:PORT of an admin port whose /healthz has this status."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if hangs:
                hangs.wait(20)
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()
            self.wfile.write(b"a word\n")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        if hangs:
            hangs.set()
        server.shutdown()


@pytest.mark.parametrize("name", ["receive", "consume"])
def test_it_ends_with_0_where_that_program_is_well(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Without a token, past a proxy of the environment, whatever the other program does."""
    with answering(200) as listen:
        given(monkeypatch, {VARIABLE[name]: listen, "http_proxy": f"http://127.0.0.1:{free_port()}"})
        assert ended(name) == (0, f"http://{listen}/healthz 200 a word\n")


def test_a_dead_consumer_beside_a_living_receiver_ends_it_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """So does one that is ill, and one that hangs."""
    monkeypatch.setattr(health, "PATIENCE_S", 0.3)
    with answering(200) as receiver, answering(503) as ill, answering(200, hangs=threading.Event()) as hangs:
        given(monkeypatch, {VARIABLE["receive"]: receiver, VARIABLE["consume"]: f"127.0.0.1:{free_port()}"})
        assert ended("receive")[0] == 0
        status, said = ended("consume")
        assert status == 1
        assert "consume gives no answer at http://127.0.0.1:" in said
        for listen in (ill, hangs):
            given(monkeypatch, {VARIABLE["consume"]: listen})
            assert ended("consume")[0] == 1


def test_it_has_to_be_told_of_which() -> None:
    """A container holds one program, and the probe knows which."""
    assert ended()[0] == 2
    assert ended("setup")[0] == 2
