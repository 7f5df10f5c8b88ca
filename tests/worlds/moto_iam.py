"""moto's server with IAM enforced: `python moto_iam.py PORT VERDICTS`, run by the Python of moto's environment.

moto checks signatures and evaluates policies, but outside S3 it does not derive which resource a call is about. This
wrapper gives moto the actions, resources and condition values of each call, and writes each verdict to VERDICTS.
hypercorn serves, because the KCL calls Kinesis by HTTP/2. The access key `test` is the test's own and needs no right.
"""

import asyncio
import base64
import contextlib
import json
import sys
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from hypercorn.asyncio import serve  # type: ignore[import-not-found,unused-ignore]
from hypercorn.config import Config
from moto import settings  # type: ignore[import-not-found]
from moto.core.authorization import ActionAuthenticatorMixin  # type: ignore[import-not-found]
from moto.core.exceptions import JsonRESTError  # type: ignore[import-not-found]
from moto.iam.access_control import (  # type: ignore[import-not-found]
    IAMPolicy,
    IAMRequest,
    IAMRequestBase,
    PermissionResult,
)
from moto.server import DomainDispatcherApplication, create_backend_app  # type: ignore[import-not-found]

from tests.recorder import _NAMED_OTHERWISE, Recorder, _read

EXEMPT = {"sts:GetCallerIdentity"}
"""Allowed to everybody, even by a policy that denies it. Source: AWS STS API reference, GetCallerIdentity."""

OWN = "Credential=test/"


def main(port: str, verdicts: str) -> None:
    """Serve until SIGTERM."""
    recorder = Recorder(None, Path(verdicts).with_suffix(".calls"))
    with Path(verdicts).open("a", encoding="utf-8", buffering=1) as log:
        _enforce(recorder, log)
        config = Config()
        config.bind = [f"127.0.0.1:{port}"]
        config.wsgi_max_body_size = 16 * 1024 * 1024
        moto: Any = DomainDispatcherApplication(create_backend_app)

        def application(environ: Any, start_response: Any) -> Any:
            """Answer as moto does; hypercorn needs a part of a body before it sends the headers, even after HEAD."""
            return chain(moto(environ, start_response), [b""])

        asyncio.run(serve(application, config, mode="wsgi"))


def _enforce(recorder: Recorder, log: Any) -> None:
    """Replace moto's check of a call by one that knows the call's resources."""
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    authorize = ActionAuthenticatorMixin._authenticate_and_authorize_action

    def authorize_others(self: Any, request_class: type, resource: str = "*") -> None:
        if OWN not in self.headers.get("Authorization", OWN):
            authorize(self, request_class, resource)

    def check(self: Any, _resource: str) -> None:
        policies = [IAMPolicy(policy) for policy in self._access_key.collect_policies()]
        for action, resource in _pairs(recorder, self):
            values = _condition_values(action, self)
            allowed = action in EXEMPT or any(
                policy.is_action_permitted(action, resource, None, values) == PermissionResult.PERMITTED
                for policy in policies
            )
            user = self._access_key.arn.rpartition("/")[2]
            line = {"who": user, "action": action, "resource": resource, "allowed": allowed}
            log.write(json.dumps(line) + "\n")
            if not allowed:
                self._action, self._resource = action, resource
                self._raise_access_denied()

    def deny(self: Any) -> NoReturn:
        reason = f"because no identity-based policy allows the {self._action} action"
        text = (
            f"User: {self._access_key.arn} is not authorized to perform: {self._action} on resource: {self._resource}"
        )
        error = JsonRESTError("AccessDeniedException", f"{text} {reason}")
        error.code = 400
        raise error

    ActionAuthenticatorMixin._authenticate_and_authorize_action = authorize_others
    IAMRequestBase.check_action_permitted = check
    IAMRequest._raise_access_denied = deny


def _pairs(recorder: Recorder, request: Any) -> list[tuple[str, str]]:
    """Return every action and resource that IAM evaluates for a call."""
    if request._service in ("sts", "iam"):
        return [(request._action, "*")]
    headers, body = _headers_and_body(request)
    with contextlib.suppress(ValueError, AttributeError, KeyError):
        iterator = json.loads(body)["ShardIterator"]
        recorder._streams[iterator] = base64.decodebytes(iterator.encode()).decode().partition(":")[0]
    url = urlsplit(request._path)
    scope = {"path": url.path, "query_string": url.query.encode(), "method": request._method}
    calls = recorder._calls(request._service, scope, headers, body, b"")
    return [(_NAMED_OTHERWISE.get(action, action), resource) for action, resource in calls]


def _condition_values(action: str, request: Any) -> dict[str, str]:
    """Return the condition keys that the printed policies use, as far as the call has them."""
    if action == "iam:PassRole":
        return {"iam:PassedToService": "events.amazonaws.com"}
    if action == "cloudwatch:PutMetricData":
        return {"cloudwatch:namespace": _read(*_headers_and_body(request)).get("Namespace", "")}
    return {}


def _headers_and_body(request: Any) -> tuple[dict[str, str], bytes]:
    headers = {key.lower(): value for key, value in request._headers.items()}
    body = request._body if isinstance(request._body, bytes) else str(request._body or "").encode()
    return headers, body


if __name__ == "__main__":
    main(*sys.argv[1:])
