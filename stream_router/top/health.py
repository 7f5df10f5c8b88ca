"""`stream-router health`: whether the program of this host says that it is well, for a container's health check."""

import sys
from collections.abc import Sequence
from typing import NamedTuple

import httpx

from stream_router.settings.operators import Top

PATIENCE_S = 3.0


class Answer(NamedTuple):
    """What one admin port said; `status` is None where nobody answered."""

    url: str
    status: int | None
    word: str


def run(settings: Top, *, ready: bool, transport: httpx.BaseTransport | None = None) -> int:
    """0 where a program answers and each that answers is well (or `ready`), else 1; a line for each says why.

    A container holds one program, and knows the ports of both: a port where nobody listens is no fault of the other.
    """
    answers = _ask(settings.urls, "/readyz" if ready else "/healthz", transport)
    there = [answer for answer in answers if answer.status is not None]
    if not there:
        ports = " or ".join(answer.url for answer in answers)
        sys.stderr.write(f"stream-router health: no program answers at {ports}; start one, or look into its log\n")
        return 1
    for answer in there:
        sys.stdout.write(f"{answer.url} {answer.status} {answer.word}\n")
    return 0 if all(answer.status == 200 for answer in there) else 1


def _ask(urls: Sequence[str], path: str, transport: httpx.BaseTransport | None) -> list[Answer]:
    # No proxy of the environment: the ports are on this host.
    with httpx.Client(timeout=PATIENCE_S, trust_env=False, transport=transport) as client:
        return [_one(client, f"{url}{path}") for url in urls]


def _one(client: httpx.Client, url: str) -> Answer:
    try:
        answer = client.get(url)
    except httpx.TimeoutException:
        return Answer(url, 0, f"no answer within {PATIENCE_S:.0f} s")
    except httpx.TransportError:
        return Answer(url, None, "nobody")
    return Answer(url, answer.status_code, answer.text[:80].strip())
