"""What the receiver does again and again beside its requests: a failure is told, and ends nothing."""

import asyncio
import inspect
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from stream_router.log import Seldom

log = logging.getLogger(__name__)


async def every(period_s: float, what: Callable[[], object]) -> None:
    """Call `what` (and wait for it, where it can be awaited) until cancelled, so long after each time.

    One that fails is told once a minute, and called again. Ending the process would break off its requests for what is
    no part of them; one that cannot even show its numbers any more counts as ill (`/healthz`) after half a minute.
    """
    said = Seldom(time.monotonic)
    while True:
        await asyncio.sleep(period_s)
        try:
            result = what()
            if inspect.isawaitable(result):
                await result
        except Exception:
            if said():
                log.exception(
                    "a task of the receiver failed in an unforeseen way, and is tried again",
                    extra={"event": "receiver-task-failed"},
                )


async def beside(work: Callable[[], object]) -> None:
    """Do what may block in a thread, and wait for it; raises what that does.

    The thread ends with the process. asyncio's own are waited for at a stop, which would take as long as AWS likes.
    """
    done: Future[None] = Future()
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised by whoever waits
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name="beside", daemon=True).start()
    await asyncio.wrap_future(done)
