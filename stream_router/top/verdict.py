"""How bad a state is: the colours and signs that every part of the view has in common."""

from collections.abc import Sequence

from rich.text import Text

from stream_router.top.hosts import Host
from stream_router.top.words import since

GOOD, WARN, BAD = 0, 1, 2
STYLES = ("green", "yellow", "bold red")
SIGNS = ("✓", "◐", "✗")
LOOKS = {
    "caught up": GOOD,
    "running": GOOD,
    "ready": GOOD,
    "catching up": WARN,
    "back-pressure": WARN,
    "careful": WARN,
    "starting": WARN,
    "restarting": WARN,
    "draining": WARN,
    "hanging": BAD,
    "holding": BAD,
    "rule unmatched": BAD,
    "shards unread": BAD,
    "cut off": BAD,
    "not ready": BAD,
    "stream down": BAD,
    "stream partly down": BAD,
    "spill failing": BAD,
    "open": BAD,
    "half-open": WARN,
}
"""Of a state that a later version knows nothing is said but the state itself, as a warning."""


def looks(state: object) -> int:
    """How bad it is: GOOD, WARN or BAD."""
    return LOOKS.get(str(state), WARN)


def of_host(host: Host) -> int:
    """A host that does not answer is as bad as one that holds."""
    return BAD if host.error else looks(host.status.get("state"))


def line(host: Host) -> Text:
    """The verdict: state, since when, why."""
    bad = of_host(host)
    if host.error:
        return Text(f"{SIGNS[bad]} {host.url} {host.error}", STYLES[bad])
    status = host.status
    begun = since(status.get("since"), status.get("at"))
    said = f"{SIGNS[bad]} {str(status.get('state', 'unknown')).upper()}"
    text = Text(said + (f" since {begun} UTC" if begun else ""), STYLES[bad])
    return text.append(f": {status['reason']}" if status.get("reason") else "", STYLES[bad])


def of_all(hosts: Sequence[Host]) -> Text:
    """The verdict of several: how many are well, and the worst of the others."""
    worst = max(hosts, key=of_host)
    bad = of_host(worst)
    well = sum(of_host(host) == GOOD for host in hosts)
    text = Text(f"{SIGNS[bad]} {well} of {len(hosts)} well", STYLES[bad])
    if bad == GOOD:
        return text
    what = worst.error or f"{worst.status.get('state', 'unknown')}, {worst.status.get('reason') or 'no reason told'}"
    return text.append(f"; {worst.url.partition('//')[2]}: {what}")
