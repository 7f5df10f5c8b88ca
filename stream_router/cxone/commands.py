"""`stream-router cxone token` and `cxone sources`: prove the credentials, check the configured event sources."""

import sys
from collections.abc import Iterator

import httpx

from stream_router.cxone import discovery
from stream_router.cxone import sources as configured_sources
from stream_router.cxone.oauth import SCOPES, AccessToken, TokenSource
from stream_router.cxone.sources import Finding
from stream_router.cxone.web import Clock, CxoneError, Web, open_client
from stream_router.log import plain
from stream_router.settings.operators import Cxone
from stream_router.settings.reading import load


def token(clock: Clock | None = None) -> int:
    """Fetch a token and say what it is good for, never the token itself. 0, or 1 where CXone gives none."""
    settings = load(Cxone)
    with open_client(settings.certificates) as client:
        try:
            got = TokenSource(settings, Web(client, clock or Clock()))()
        except CxoneError as error:
            return _fail(error)
    scopes = _told(got)
    whose = f"tenant {got.tenant_id}" if got.tenant_id else "tenant not told"
    _say(f"the credentials work: {got.told()}, {scopes}, {whose}")
    return 0


def _told(got: AccessToken) -> str:
    """The granted scopes that we asked for; of others only the number, since a server may say anything there."""
    if got.scopes is None:
        return "scopes not told"
    ours = got.scopes & SCOPES
    others = f" and {len(got.scopes - ours)} others" if got.scopes - ours else ""
    return f"scopes {' '.join(sorted(ours)) or 'none that were asked for'}{others}"


def run_sources(settings: Cxone, clock: Clock) -> Iterator[Finding]:
    """Every finding on the credentials, the tenant and each configured source. Raises SettingsError."""
    configured = configured_sources.read(settings.config)
    routing = configured_sources.routing(settings)
    with open_client(settings.certificates) as client:
        yield from _of_the_account(settings, Web(client, clock))
    for source in configured:
        yield from configured_sources.check(source, settings.stream, routing)
    if not configured:
        yield Finding("unknown", "sources", "none configured; add [[cxone.sources]] to STREAM_ROUTER_CONFIG's file")


def sources(clock: Clock | None = None) -> int:
    """Print a line for each finding. 0, or 1 where something is wrong."""
    settings = load(Cxone)
    wrong = False
    for finding in run_sources(settings, clock or Clock()):
        wrong = wrong or finding.verdict == "wrong"
        _say(f"{finding.verdict:8}{finding.about}: {finding.text}")
    return 1 if wrong else 0


def _of_the_account(settings: Cxone, web: Web) -> Iterator[Finding]:
    """What needs CXone's answer. The sources are checked without it, also while CXone is down or refuses us."""
    try:
        got = TokenSource(settings, web)()
    except CxoneError as error:
        yield Finding("wrong", "token", str(error))
        return
    yield Finding("ok", "token", got.told())
    yield _scope_finding(got)
    yield _tenant_finding(got, web)


def _scope_finding(got: AccessToken) -> Finding:
    if got.scopes is None:
        return Finding("unknown", "scopes", "CXone does not say what it granted")
    missing = sorted(SCOPES - got.scopes)
    if missing:
        return Finding("wrong", "scopes", f"{' '.join(missing)} not granted; ask NICE for them")
    return Finding("ok", "scopes", f"{' '.join(sorted(SCOPES))} granted")


def _tenant_finding(got: AccessToken, web: Web) -> Finding:
    """Whether the tenant's API host answers at all: any answer below 500 proves it is there."""
    if not got.tenant_id:
        return Finding("unknown", "tenant", "the token does not name it, so its API host cannot be looked up")
    try:
        found = discovery.tenant(web, got.tenant_id)
        web.send(httpx.Request("GET", found.api_endpoint), "the tenant's API host", wants_body=False)
    except CxoneError as error:
        return Finding("wrong", "tenant", str(error))
    area = f", area {found.area}" if found.area else ""
    return Finding("ok", "tenant", f"its API host {httpx.URL(found.api_endpoint).host} answers{area}")


def _say(line: str) -> None:
    sys.stdout.write(plain(line) + "\n")


def _fail(error: CxoneError) -> int:
    sys.stderr.write(f"stream-router cxone: {plain(str(error))}\n")
    return 1
