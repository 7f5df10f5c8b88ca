"""The sender: posts events at a rate, signs them, gives up after a second and tries again, as CXone would.

Each attempt is on disk (fsync) before it is made, each 202 before the sender goes on.
"""

import contextlib
import hashlib
import hmac
import http.client
import json
import os
import queue
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.fault.chaos_run.evidence import Evidence, Sent
from tests.fault.chaos_run.traffic import Post

CONNECTIONS = 24
GIVES_UP_AFTER_S = 1.0
PATIENCE_S = 180.0
PAUSES_S = (0.2, 0.4, 0.8, 1.0)


class Log:
    """A file of JSON lines; a line is on the disk when `write` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()

    def write(self, **line: Any) -> None:
        with self._lock:
            os.write(self._fd, json.dumps(line).encode() + b"\n")
            os.fsync(self._fd)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]

    def close(self) -> None:
        os.close(self._fd)


class Driver:
    """Sends posts on threads of its own. `port` is where the receiver (or a proxy in front of it) listens."""

    def __init__(self, folder: Path, port: int, secret: str) -> None:
        self.sent, self.acked = Log(folder / "SENT"), Log(folder / "ACKED")
        self._port, self._secret = port, secret.encode()
        self._posts: dict[str, Post] = {}
        self._due: queue.Queue[tuple[float, Post] | None] = queue.Queue()
        self._halt = threading.Event()
        self.answered = self.attempts = 0
        self.unanswered: set[str] = set()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(CONNECTIONS)]
        for thread in self._threads:
            thread.start()

    def send(self, posts: Iterable[Post], rate: float) -> None:
        """Have these sent from now on at a rate; the call returns at once."""
        begun, number = time.monotonic(), 0
        for post in posts:
            self._posts[post.delivery] = post
            self.unanswered.add(post.delivery)
            self._due.put((begun + number / rate, post))
            number += len(post.ids)

    def posts(self) -> list[Post]:
        """Everything that was given to be sent."""
        return [*self._posts.values()]

    def issued(self) -> set[str]:
        """The ids of all of it."""
        return {event_id for post in self.posts() for event_id in post.ids}

    def close(self) -> None:
        """End the threads; what is not answered by now never will be."""
        self._halt.set()
        for _ in self._threads:
            self._due.put(None)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self.sent.close()
        self.acked.close()

    def tell(self, evidence: Evidence) -> None:
        """Read the two files back into the evidence."""
        attempts: dict[str, list[float]] = {}
        for line in self.sent.lines():
            attempts.setdefault(line["delivery"], []).append(line["at"])
        for delivery, times in attempts.items():
            post = self._posts[delivery]
            for index, event_id in enumerate(post.ids):
                kind, conversation = post.kinds[index], post.conversations[index]
                evidence.sent[event_id] = Sent(kind, conversation, post.elements[index], (*times,), post.twice)
        for line in self.acked.lines():
            post = self._posts[line["delivery"]]
            for event_id in post.ids:
                if line["status"] == 202 and line["ids"] == [*post.ids]:
                    evidence.acked.setdefault(event_id, line["at"])
                else:
                    evidence.turned_away[event_id] = f"{line['status']} {line['ids'] or ''}".strip()

    def _work(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=GIVES_UP_AFTER_S)
        while (item := self._due.get()) is not None:
            due, post = item
            if self._halt.wait(max(0.0, due - time.monotonic())):
                break
            self._deliver(connection, post)
            if post.twice:
                self._deliver(connection, post)
            self.unanswered.discard(post.delivery)
        connection.close()

    def _deliver(self, connection: http.client.HTTPConnection, post: Post) -> None:
        until = time.monotonic() + PATIENCE_S
        for attempt in range(10_000):
            self.sent.write(at=time.time(), delivery=post.delivery)
            self.attempts += 1
            status, body = self._post(connection, post)
            if status and status < 500:
                ids = json.loads(body).get("ids") if status == 202 else None
                self.acked.write(at=time.time(), delivery=post.delivery, status=status, ids=ids)
                self.answered += 1
                return
            if time.monotonic() > until or self._halt.wait(PAUSES_S[min(attempt, len(PAUSES_S) - 1)]):
                return

    def _post(self, connection: http.client.HTTPConnection, post: Post) -> tuple[int, bytes]:
        """The status and the answer; 0 where there is none."""
        stamp = str(int(time.time()))
        signed = b".".join((post.delivery.encode(), stamp.encode(), post.body))
        headers = {
            "content-type": "application/json",
            "x-delivery-id": post.delivery,
            "x-timestamp": stamp,
            "x-signature": hmac.new(self._secret, signed, hashlib.sha256).hexdigest(),
        }
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", "/v1/events", post.body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        connection.close()
        return 0, b""
