"""The fake AWS without a socket: the requests of botocore's own clients are answered within the test's process."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError
from botocore.loaders import Loader
from botocore.session import Session

from stream_router.aws import endpoints
from stream_router.aws.clients import NO_RETRIES_CONFIG, Clients
from tests.fakeaws import wire
from tests.fakeaws.http import Reply, Request
from tests.fakeaws.ledger import Ledger
from tests.fakeaws.server import FakeAws
from tests.fakeaws.wire import Refusal

REGION = "us-east-1"

Answer = dict[str, Any] | str | Refusal | Reply | Exception
"""An operation's document, a refusal or its code alone, a whole reply, or the exception of a broken connection."""

_LOADER = Loader()
"""Shared by all sessions, because it keeps the service models that it has read."""


class _Body(BytesIO):
    """The body of an answer as botocore reads it."""

    def stream(self) -> list[bytes]:
        return [self.read()]


class InProcess:
    """A fake AWS and its clients, which try each call once. `requests` are the operations with their documents."""

    def __init__(self, **plan: Any) -> None:
        self.aws = FakeAws(Ledger(None), plan, 0)
        self.kinesis, self.dynamodb, self.queues = self.aws.kinesis, self.aws.dynamodb, self.aws.sqs.queues
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.session = Session()
        self.session.register_component("data_loader", _LOADER)
        self.session.set_config_variable("region", REGION)
        self.session.set_credentials("AKIDEXAMPLE", "secret")
        self.session.register("before-send", self._send)  # type: ignore[arg-type]
        self.clients = Clients(REGION, session=self.session, config=NO_RETRIES_CONFIG)
        self._scripts: dict[str, Callable[[dict[str, Any]], Answer | None]] = {}
        self._lock = threading.Lock()

    def client(self, service: str) -> Any:
        """Return a client of a service."""
        return endpoints.create_client(self.session, service, NO_RETRIES_CONFIG)

    def script(self, operation: str, answer: Callable[[dict[str, Any]], Answer | None]) -> None:
        """Answer the operation's calls ("*": any) by their documents; None leaves a call to the fake AWS."""
        self._scripts[operation] = answer

    def answer(self, operation: str, *answers: Answer) -> None:
        """Give each of these answers to one call of the operation ("*": any), then leave it to the fake AWS."""
        left = iter(answers)
        self.script(operation, lambda _: next(left, None))

    def asked(self, operation: str) -> list[dict[str, Any]]:
        """Return the documents of all calls of an operation."""
        return [document for name, document in self.requests if name == operation]

    def _send(self, request: AWSPreparedRequest, event_name: str, **_: object) -> AWSResponse:
        headers = {
            name.lower(): value.decode() if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
        }
        body = request.body if isinstance(request.body, bytes) else b""
        seen = Request(request.method, urlsplit(request.url).path, headers, body)
        with self._lock:
            reply = self._reply(event_name.rpartition(".")[2], seen)
        if reply.resets_after_s is not None:
            raise ConnectionClosedError(endpoint_url=request.url)
        date = format_datetime(datetime.now(UTC), usegmt=True)
        replied = HTTPHeaders.from_pairs([("Date", date), *reply.headers])
        return AWSResponse(request.url, reply.status, replied, _Body(reply.body))

    def _reply(self, operation: str, seen: Request) -> Reply:
        form = wire.form_of(seen)
        document = wire.document(form, seen)
        self.requests.append((operation, document))
        script = self._scripts.get(operation) or self._scripts.get("*")
        answer = script(document) if script else None
        match answer:
            case None:
                return self.aws.handle(seen)
            case Exception():
                raise answer
            case Reply():
                return answer
            case dict():
                return wire.success(form, answer)
            case str():
                answer = Refusal(answer, "no", wire.status_of(answer, form))
        return wire.refused(form, answer, "")
