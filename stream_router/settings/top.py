"""What `stream-router top` reads: where the admin ports of this machine are, and the token that they ask for."""

from pydantic import Field

from stream_router.settings.common import Environment
from stream_router.settings.consumer import Consumer
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import HostPort, Secret, own_url


class Top(Environment):
    """What `top` needs; other settings, and those of AWS, are of no matter to it."""

    admin_listen: HostPort = Field(Consumer.model_fields["admin_listen"].default, description="HOST:PORT")
    receiver_admin_listen: HostPort = Field(
        Receiver.model_fields["receiver_admin_listen"].default, description="HOST:PORT"
    )
    admin_token: Secret | None = Field(None, description="a bearer token; required where it listens beyond loopback")

    @property
    def urls(self) -> tuple[str, str]:
        """The admin ports of the consumer and the receiver of these settings, seen from their own host."""
        return own_url(self.admin_listen), own_url(self.receiver_admin_listen)

    @property
    def token(self) -> str:
        """The bearer token, "" where there is none."""
        return self.secret("admin_token")
