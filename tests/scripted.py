"""Control-plane clients that follow a script: botocore's own, whose calls it checks against AWS's own model.

Each expected call is answered as scripted; an unexpected, a missing or an invalid call fails the test. No socket.
"""

from typing import Any

from botocore.session import Session
from botocore.stub import Stubber

from stream_router.aws.clients import Clients

REGION = "eu-west-1"
ACCOUNT = "123456789012"


class Script:
    """`expect` calls in order (per service); `clients` makes them; `done` sees that all were made."""

    def __init__(self) -> None:
        session = Session()
        session.set_config_variable("region", REGION)
        session.set_credentials("AKIDEXAMPLE", "secret")
        self.clients = Clients(REGION, session=session)
        self._stubbers: dict[str, Stubber] = {}

    def expect(
        self, service: str, operation: str, wanted: dict[str, Any], answer: dict[str, Any] | None = None
    ) -> None:
        """The next call of this service: exactly these parameters, this answer."""
        self._stubber(service).add_response(operation, answer or {}, wanted)

    def refuse(self, service: str, operation: str, wanted: dict[str, Any], code: str, status: int = 400) -> None:
        """The next call of this service is refused with an AWS error code."""
        self._stubber(service).add_client_error(operation, code, http_status_code=status, expected_params=wanted)

    def done(self) -> None:
        """Every expected call was made."""
        for stubber in self._stubbers.values():
            stubber.assert_no_pending_responses()

    def _stubber(self, service: str) -> Stubber:
        if service not in self._stubbers:
            self._stubbers[service] = Stubber(getattr(self.clients, service))
            self._stubbers[service].activate()
        return self._stubbers[service]
