"""`setup` on a v2 bus, whose owner makes its subscribers: it only sees that the bus is there."""

import pytest
from botocore.exceptions import ClientError

from stream_router.control.setup import setup
from stream_router.control.setup.steps import Steps
from stream_router.control.setup_error import WrongSettingError
from stream_router.settings.operators import Setup
from stream_router.settings.reading import load
from tests.environment import given
from tests.scripted import REGION, Script

pytestmark = pytest.mark.usefixtures("empty_environment")

BUS = f"arn:aws:events:{REGION}:123456789012:event-busv2/b"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ResourceNotFoundException", WrongSettingError),
        ("InvalidInputException", WrongSettingError),
        ("AccessDeniedException", ClientError),
        ("ThrottlingException", ClientError),
    ],
)
def test_only_a_bus_that_is_not_there_is_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, code: str, expected: type[Exception]
) -> None:
    """The ARN is right where AWS lets nobody look, or is asked too often: exit 78 would send its reader astray."""
    given(monkeypatch, {"AWS_REGION": REGION, "STREAM_ROUTER_EVENT_BUS": BUS})
    script = Script()
    script.refuse("events_v2", "describe_event_bus", {"EventBusArn": BUS}, code)
    with pytest.raises(expected):
        setup._verify_v2_bus(load(Setup), script.clients, Steps(lambda _: None, apply=True))
