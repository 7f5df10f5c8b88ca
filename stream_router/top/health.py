"""Command `stream-router health NAME`: a container's health check of the one program that it runs."""

import sys
import urllib.error
import urllib.request
from typing import Literal

from stream_router.settings.operators import Top
from stream_router.telemetry.verdict import no_answer, sentence

ANSWER_TIMEOUT_S = 3.0


def run(name: Literal["receive", "consume"], settings: Top) -> int:
    """Print what `/healthz` of the program `name` on this host answers. Return 0 for a 200, otherwise 1.

    The port answers 200 unless a restart of the program would help. So an outage of AWS also gives 0.
    """
    consumer_url, receiver_url = settings.urls
    url = f"{receiver_url if name == 'receive' else consumer_url}/healthz"
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({})
    )  # the environment's proxy cannot reach this host
    try:
        with opener.open(url, timeout=ANSWER_TIMEOUT_S) as answer:
            status, state = answer.status, answer.read(80)
    except urllib.error.HTTPError as error:
        with error:  # closes the connection, which the error holds
            status, state = error.code, error.read(80)
    except OSError as error:
        verdict = no_answer(url, f"({getattr(error, 'reason', error)})")
        sys.stderr.write(f"stream-router health: {name}: {sentence(verdict, '')}\n")
        return 1
    sys.stdout.write(f"{url} {status} {state.decode('utf-8', 'replace').strip()}\n")
    return 0 if status == 200 else 1
