"""The consumer's admin port: which pages it has, and what they are made of."""

from prometheus_client.exposition import CONTENT_TYPE_LATEST

from stream_router.consumer.supervisor.admin.history import History
from stream_router.consumer.supervisor.admin.status import Status
from stream_router.consumer.supervisor.vitals import Vitals
from stream_router.telemetry import web_page
from stream_router.telemetry.admin_server import HEALTH, JSON, AdminServer, Page, Verdict, probe


class AdminPort(AdminServer):
    """Serves from `start` until `close`. Raises SettingsError at construction where it cannot listen.

    The web page at `/` needs no token: its file holds no data, and it asks for one itself.
    """

    def __init__(self, listen: str, token: str | None, vitals: Vitals, status: Status, history: History) -> None:
        def health() -> Page:
            healthy = vitals.known().healthy
            return probe(Verdict(healthy, "well" if healthy else "ill"))

        def ready() -> Page:
            known = vitals.known()
            return probe(Verdict(known.ready, "ready" if known.ready else "hanging" if known.hangs else known.state))

        super().__init__(
            listen,
            "STREAM_ROUTER_ADMIN_LISTEN",
            token,
            {
                "/": lambda: Page(200, web_page.CONTENT_TYPE, *web_page.load()),
                "/healthz": health,
                "/readyz": ready,
                "/status": lambda: Page(200, JSON, status.pages().status),
                "/history": lambda: Page(200, JSON, history.body()),
                "/metrics": lambda: Page(200, CONTENT_TYPE_LATEST, status.pages().metrics),
            },
            free=("/", *HEALTH),
        )
