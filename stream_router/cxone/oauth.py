"""CXone access tokens: by client credentials, cached, renewed by one caller at a time."""

import base64
import threading
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx

from stream_router.cxone import discovery
from stream_router.cxone.web import CxoneError, Reply, Web, check_url, read_json
from stream_router.settings.operators import Cxone

SCOPES = frozenset({"integration:read", "webhook:read"})
"""What is asked for: to read what is configured. NICE grants scopes to each client."""

RENEW_BEFORE_S = 60.0
"""A token is renewed this long before its end, or in the last tenth of a shorter life."""

UNSTATED_LIFE_S = 300.0
"""How long a token is used whose answer does not say."""

_ERROR_CODES = frozenset(
    {
        *("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type"),
        *("invalid_scope", "access_denied", "server_error", "temporarily_unavailable", "invalid_token", "slow_down"),
    }
)
"""What OAuth knows. Nothing else that a server says is repeated: it could be our own secret."""

_MAY_PASS = ("server_error", "temporarily_unavailable", "slow_down")
"""Not ours to mend: with these the credentials may be the right ones."""


class AccessToken(NamedTuple):
    """An access token and what is known of it. Its repr hides it.

    `life_s` is None where CXone does not say for how long it is good, `scopes` where it does not say what it granted,
    `tenant_id` empty where the token does not say whose it is. `renew_at` is monotonic.
    """

    value: str
    life_s: float | None
    renew_at: float
    scopes: frozenset[str] | None
    tenant_id: str

    def __repr__(self) -> str:
        return f"Token(…, life_s={self.life_s})"

    def told(self) -> str:
        """What can be said of it to anybody."""
        return "a token whose life is not told" if self.life_s is None else f"a token of {self.life_s:.0f} s"


class TokenSource:
    """Hands out a valid token. Safe to share between threads: one fetches, the others wait for its token.

    Raises CxoneError where CXone refuses or cannot be reached.
    """

    def __init__(self, settings: Cxone, web: Web) -> None:
        self._settings = settings
        self._web = web
        self._lock = threading.Lock()
        self._current: AccessToken | None = None

    def __call__(self) -> AccessToken:
        with self._lock:
            now = self._web.clock.monotonic()
            if self._current is None or now >= self._current.renew_at:
                self._current = self._fetch()
            return self._current

    def _fetch(self) -> AccessToken:
        started = self._web.clock.monotonic()
        answer = self._web.send(self._request(), "the token endpoint")
        body = answer.document()
        if answer.status_code not in (200, 201) or _error_code(body):
            raise CxoneError(_refusal(answer))
        try:
            value = body["access_token"]
            life_s = _life_s(body.get("expires_in"))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise CxoneError("the token endpoint's answer holds no token; check CXONE_AUTH_URL") from None
        used_s = UNSTATED_LIFE_S if life_s is None else life_s
        if not isinstance(value, str) or not value or not 1 <= used_s < 10**9:
            raise CxoneError("the token endpoint's answer holds no token; check CXONE_AUTH_URL")
        renew_at = started + used_s - min(RENEW_BEFORE_S, used_s / 10)
        return AccessToken(value, life_s, renew_at, self._scopes(body, value), _tenant_id(body, value))

    def _request(self) -> httpx.Request:
        """The token request, with client credentials."""
        given = self._settings
        url = check_url(given.auth_url or discovery.token_endpoint(self._web), "CXONE_AUTH_URL")
        form = {"grant_type": "client_credentials", "scope": " ".join(sorted(SCOPES))}
        headers = {"Authorization": _basic(given.client_id or "", given.secret("client_secret"))}
        return httpx.Request("POST", url, data=form, headers=headers)

    def _scopes(self, body: dict[str, Any], value: str) -> frozenset[str] | None:
        granted = body.get("scope") or _claims(value).get("scope")
        if isinstance(granted, str):
            return frozenset(granted.split())
        if isinstance(granted, list):
            return frozenset(scope for scope in granted if isinstance(scope, str))
        return None


def _life_s(expires_in: object) -> float | None:
    """The life that an answer states, if it does. Raises ValueError for what is no number of seconds."""
    if expires_in is None:
        return None
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float | str):
        raise ValueError("is no number of seconds")  # noqa: TRY004 - what an answer says is no argument
    return float(expires_in)


def _basic(client_id: str, secret: str) -> str:
    """Both parts URL-encoded, as RFC 6749 (2.3.1) wants and CXone's own clients do."""
    pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _error_code(body: object) -> str:
    """The code of an answer that is an error, whatever its status; "" where it has none that OAuth knows."""
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, str) and error in _ERROR_CODES else ""


def _refusal(answer: Reply) -> str:
    """One line for an operator: what CXone says, and the cure. Free text of the answer is not repeated."""
    code = _error_code(answer.document())
    told = f"{answer.status_code} {code}".rstrip()
    if code in _MAY_PASS:
        return f"CXone is in trouble ({told}); try again later"
    if code == "invalid_scope":
        return f"CXone refuses the scopes ({told}); ask NICE to grant this client {' '.join(sorted(SCOPES))}"
    if code in ("unauthorized_client", "unsupported_grant_type"):
        return f"CXone gives this client no client credentials ({told}); ask NICE for a client that has that grant"
    if answer.status_code in (200, 201, 400, 401, 403):
        return f"CXone refuses the credentials ({told}); check CXONE_CLIENT_ID and CXONE_CLIENT_SECRET"
    return f"the token endpoint answers {told}; check CXONE_AUTH_URL"


def _claims(jwt: str) -> dict[str, Any]:
    """What a JWT says, unverified: it only tells us where to look next. Empty where it is none."""
    parts = jwt.split(".")
    if len(parts) != 3:
        return {}
    try:
        found = read_json(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _tenant_id(body: dict[str, Any], value: str) -> str:
    """The tenant, from the id token where there is one, else from the access token."""
    for jwt in (body.get("id_token"), value):
        found = _claims(jwt).get("tenantId") if isinstance(jwt, str) else None
        if isinstance(found, str):
            return found
    return ""
