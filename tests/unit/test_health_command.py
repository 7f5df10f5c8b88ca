"""`stream-router health`: what it makes of the answers of this host's admin ports."""

import httpx
import pytest

from stream_router.settings.operators import Top
from stream_router.top import health


def ended(answers: dict[int, httpx.Response | Exception], *, ready: bool = False) -> int:
    """The command's exit status where the ports answer so."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == ("/readyz" if ready else "/healthz")
        found = answers.get(request.url.port or 80, httpx.ConnectError("refused"))
        if isinstance(found, Exception):
            raise found
        return found

    return health.run(Top(), ready=ready, transport=httpx.MockTransport(answer))


def test_one_program_that_is_well_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    """A container holds one of the two: the other's port, where nobody listens, counts for nothing."""
    for port in (9464, 9465):
        assert ended({port: httpx.Response(200, text="ok\n")}) == 0
        assert capsys.readouterr().out == f"http://127.0.0.1:{port}/healthz 200 ok\n"
    assert ended({9465: httpx.Response(200, text="ok\n")}, ready=True) == 0


def test_a_program_that_is_ill_hangs_or_is_not_there_ends_it_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    """Another that is well beside it does not hide it."""
    assert ended({9464: httpx.Response(503, text="child dead\n"), 9465: httpx.Response(200, text="ok\n")}) == 1
    assert "503 child dead" in capsys.readouterr().out
    assert ended({9464: httpx.ReadTimeout("slow")}) == 1
    assert "no answer within 3 s" in capsys.readouterr().out
    assert ended({}) == 1
    assert "no program answers at http://127.0.0.1:9464/healthz or" in capsys.readouterr().err
