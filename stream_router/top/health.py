"""`stream-router health NAME`: a container's probe of the one program that it runs."""

import sys
import urllib.error
import urllib.request
from typing import Literal

from stream_router.settings.operators import Top

PATIENCE_S = 3.0


def run(name: Literal["receive", "consume"], settings: Top) -> int:
    """0 where the admin port of that program, on this host, says that it is well; else 1. A line says why.

    It says so through an outage of AWS: a restart would mend nothing there. Whether all is well is `doctor`'s to say.
    """
    url = f"{settings.urls[name == 'receive']}/healthz"
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the environment's proxy leads away from here
    try:
        with ask.open(url, timeout=PATIENCE_S) as answer:
            status, word = answer.status, answer.read(80)
    except urllib.error.HTTPError as error:
        status, word = error.code, error.read(80)
    except OSError as error:
        sys.stderr.write(f"stream-router health: {name} gives no answer at {url} ({getattr(error, 'reason', error)})\n")
        return 1
    sys.stdout.write(f"{url} {status} {word.decode('utf-8', 'replace').strip()}\n")
    return 0 if status == 200 else 1
