"""Check of the receiver's certificate: a sender refuses one that has ended, and the receiver serves on with it."""

from stream_router.checks.finding import Finding
from stream_router.control.doctor.say import ok, skipped, warn, wrong
from stream_router.control.doctor.world import World
from stream_router.errors import SettingsError
from stream_router.process import iso
from stream_router.receiver import tls

CERT = "STREAM_ROUTER_TLS_CERT"


def lasts(world: World) -> Finding:
    """SR014: the certificate has begun, and does not end soon."""
    settings = world.receive
    if settings is None:
        return skipped("SR014", "waits for SR001")
    if settings.tls_cert is None or settings.tls_key is None:
        return skipped("SR014", "no certificate is set")
    try:
        context = tls.context(settings.tls_cert, settings.tls_key, None)
        begins_s, ends_s = tls.dates(context, settings.tls_cert)
    except (SettingsError, OSError):
        return skipped("SR014", "waits for SR001")
    return _judge(begins_s, ends_s, world.now_s())


def _judge(begins_s: float, ends_s: float, now_s: float) -> Finding:
    cure = "renew it; the receiver reads the new files by itself"
    if ends_s <= now_s:
        says = f"the certificate ended at {_at(ends_s)}: senders refuse the connection, and no event comes in"
        return wrong("SR014", CERT, says, cure)
    if begins_s > now_s:
        says = f"the certificate begins at {_at(begins_s)}: until then senders refuse the connection"
        return wrong("SR014", CERT, says, "use one that has begun, or set this host's clock (SR013)")
    left_days = (ends_s - now_s) / tls.DAY_S
    if left_days < tls.SOON_DAYS:
        return warn("SR014", CERT, f"the certificate ends in {left_days:.1f} days, at {_at(ends_s)}", cure)
    return ok("SR014", f"lasts until {_at(ends_s)}")


def _at(epoch_s: float) -> str:
    return iso(epoch_s * 1000)
