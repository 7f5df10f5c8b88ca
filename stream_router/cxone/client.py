"""CXone over HTTPS: an access token by client credentials (docs/facts.md, "CXone").

Of what an answer says only known words are repeated: anything else could be our own secret.
"""

import base64
import email.utils
import importlib.metadata
import json
import random
import ssl
import time
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay, wait_random_exponential

from stream_router.errors import SettingsError
from stream_router.settings.operators import Cxone
from stream_router.settings.types import check_for_credentials

ISSUER = "https://cxone.niceincontact.com"
"""Where the discovery documents are, of every region: NICE's developer pages (docs/facts.md, "CXone")."""

SCOPES = frozenset({"integration:read", "webhook:read"})
"""What is asked for: to read what is configured. NICE grants scopes to each client."""

DEADLINE_S = 45.0
"""All attempts of one exchange together, and the waits between them."""

TIMEOUT_S = 10.0
"""Of one step of an attempt: the connection, one read."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 20.0
"""CXone sends no reliable Retry-After, so our own pauses double from 2 s (docs/facts.md, "CXone")."""

# Firewalls take a request without it for a robot's, AWS's own set of rules among them ("NoUserAgent_HEADER").
_HEADERS = {"Accept": "application/json", "User-Agent": f"stream-router/{importlib.metadata.version('stream_router')}"}

_CREDENTIALS = "refuses the credentials ({}); check CXONE_CLIENT_ID and CXONE_CLIENT_SECRET"
_GRANT = "gives this client no client credentials ({}); ask NICE for a client that has that grant"
_TROUBLE = "is in trouble ({}); try again later"
_REFUSALS = {
    **dict.fromkeys(("invalid_request", "invalid_client", "invalid_grant"), _CREDENTIALS),
    **dict.fromkeys(("access_denied", "invalid_token"), _CREDENTIALS),
    **dict.fromkeys(("unauthorized_client", "unsupported_grant_type"), _GRANT),
    "invalid_scope": f"refuses the scopes ({{}}); ask NICE to grant this client {' '.join(sorted(SCOPES))}",
    # With these the credentials may be the right ones.
    **dict.fromkeys(("server_error", "temporarily_unavailable", "slow_down"), _TROUBLE),
}
"""The errors of OAuth 2.0 (RFC 6749, 5.2; RFC 6750, 3.1; RFC 8628, 3.5): what each means, and the cure."""


class CxoneError(Exception):
    """CXone refused, or cannot be reached. The text is one line with the cure, and holds no secret."""


class _AgainError(Exception):
    """Another attempt may help. `wait_s` is what CXone asks for; 0.0 where it does not say."""

    def __init__(self, problem: str, wait_s: float = 0.0) -> None:
        super().__init__(problem)
        self.wait_s = wait_s


class Token(NamedTuple):
    """What is known of an access token; the token itself serves nothing here, and is not kept.

    `life_s` is None where CXone does not say for how long it is good, `scopes` where it does not say what it granted,
    `tenant_id` empty where the token does not say whose it is.
    """

    life_s: float | None
    scopes: frozenset[str] | None
    tenant_id: str

    def describe(self) -> str:
        """Its life, in words."""
        return "a token whose life is not told" if self.life_s is None else f"a token of {self.life_s:.0f} s"


class CxoneClient:
    """Asks CXone, with the proxy of the environment, and its CA certificates: SSL_CERT_FILE, else AWS_CA_BUNDLE.

    429, 5xx and broken connections are tried again until DEADLINE_S has passed; redirects are not followed. Raises
    SettingsError where the CA certificates or the proxy cannot be used.
    """

    def __init__(self, settings: Cxone) -> None:
        self._settings = settings
        bundle = settings.certificates
        try:
            self._tls = ssl.create_default_context(cafile=str(bundle)) if bundle else httpx.create_ssl_context()
        except OSError:
            variable = "AWS_CA_BUNDLE" if bundle else "SSL_CERT_FILE"
            cure = "name a PEM file (a folder for SSL_CERT_DIR), or unset it"
            raise SettingsError(f"{variable}: the CA certificates cannot be read; {cure}") from None

    def token(self) -> Token:
        """Get an access token for the client's id and secret. Raises CxoneError."""
        settings = self._settings
        url = settings.auth_url or self._token_endpoint()
        # Both parts URL-encoded, as RFC 6749 (2.3.1) wants and CXone's own clients do.
        pair = f"{quote(settings.client_id or '', safe='')}:{quote(settings.secret('client_secret'), safe='')}"
        headers = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
        form = {"grant_type": "client_credentials", "scope": " ".join(sorted(SCOPES))}
        answer = self._send("the token endpoint", "POST", url, data=form, headers=headers)
        body = _members(answer.content)
        code = body.get("error") if isinstance(body.get("error"), str) else ""
        if answer.status_code not in (200, 201) or code in _REFUSALS:
            raise CxoneError(_refusal(answer.status_code, str(code)))
        value = body.get("access_token")
        if not isinstance(value, str) or not value:
            raise CxoneError("the token endpoint's answer holds no token; check CXONE_AUTH_URL")
        claims = {**_claims(value), **_claims(body.get("id_token"))}
        life, granted, tenant_id = (
            body.get("expires_in"),
            body.get("scope") or claims.get("scope"),
            claims.get("tenantId"),
        )
        if isinstance(granted, list):
            granted = " ".join(map(str, granted))
        return Token(
            float(life) if isinstance(life, int | float) and 1 <= life < 10**9 else None,
            frozenset(granted.split()) if isinstance(granted, str) else None,
            tenant_id if isinstance(tenant_id, str) else "",
        )

    def _token_endpoint(self) -> str:
        """As the discovery document names it, where credentials may be sent to it."""
        answer = self._send("the discovery", "GET", f"{ISSUER}/.well-known/openid-configuration")
        document = _members(answer.content)
        url, cure = document.get("token_endpoint"), "set CXONE_AUTH_URL to the endpoint"
        if answer.status_code != 200 or not isinstance(url, str):
            raise CxoneError(f"the discovery answers {answer.status_code} and names no token endpoint; {cure}")
        if str(document.get("issuer", ISSUER)).rstrip("/") != ISSUER:  # OpenID Discovery 4.3
            raise CxoneError(f"the discovery document is another issuer's than {ISSUER}; {cure}")
        try:
            check_for_credentials(url)
            httpx.URL(url)
        except (ValueError, httpx.InvalidURL):
            raise CxoneError(f"the discovered token_endpoint is no https:// URL; {cure}") from None
        return url

    def _send(self, endpoint: str, method: str, url: str, **request: Any) -> httpx.Response:
        """Return the first answer that is neither 429 nor 5xx. Raise CxoneError."""
        attempts = Retrying(
            retry=retry_if_exception_type(_AgainError),
            wait=_pause_s,
            stop=stop_before_delay(DEADLINE_S),
            reraise=True,
        )
        try:
            return attempts(self._attempt, endpoint, method, url, **request)
        except _AgainError as error:
            raise CxoneError(f"{endpoint}: {error}; try again later") from None

    def _attempt(self, endpoint: str, method: str, url: str, **request: Any) -> httpx.Response:
        host = httpx.URL(url).host
        try:
            # Plain HTTP goes to loopback alone: a proxy would carry the credentials off this machine.
            by_proxy = url.startswith("https:")
            client = httpx.Client(timeout=TIMEOUT_S, verify=self._tls, headers=_HEADERS, trust_env=by_proxy)
        except (ValueError, ImportError, httpx.InvalidURL):  # whose words may quote a password
            cure = "set http://HOST:PORT, and names alone in NO_PROXY, or unset them"
            raise SettingsError(f"HTTPS_PROXY, ALL_PROXY, NO_PROXY: cannot be used; {cure}") from None
        try:
            with client:
                answer = client.request(method, url, **request)
        except httpx.ProxyError as error:  # of what a proxy says only the status is repeated
            status = str(error)[:3]
            if status not in ("401", "403", "407"):
                raise _AgainError(f"{host} cannot be reached by way of the proxy of HTTPS_PROXY or ALL_PROXY") from None
            cure = f"let {host} through there, name it in NO_PROXY, or give a user: http://USER:PASSWORD@HOST:PORT"
            raise CxoneError(f"{endpoint}: the proxy of HTTPS_PROXY or ALL_PROXY refuses ({status}); {cure}") from None
        except (httpx.RequestError, ValueError) as error:  # a host name that cannot be asked for is a ValueError
            # Of connections the words are the system's and OpenSSL's own.
            reason = str(error) if isinstance(error, httpx.ConnectError) else type(error).__name__
            if "CERTIFICATE_VERIFY_FAILED" in reason:  # another attempt would meet the same one
                cure = "set SSL_CERT_FILE or AWS_CA_BUNDLE to the CA that signed it, or check the host's name"
                raise CxoneError(f"{endpoint}: the certificate of {host} is not trusted ({reason}); {cure}") from None
            raise _AgainError(f"{host} cannot be reached ({reason})") from None
        if answer.status_code == 429 or answer.status_code >= 500:
            does = "throttles us" if answer.status_code == 429 else "is in trouble"
            told_s = retry_after_s(answer.headers)
            asks = f" and asks for {told_s:.0f} s" if told_s else ""
            raise _AgainError(f"CXone {does} ({answer.status_code}){asks}", told_s)
        return answer


def _pause_s(state: RetryCallState) -> float:
    """Return what CXone asks for and up to a tenth more, so that callers spread out; else our own pauses, jittered."""
    error = state.outcome and state.outcome.exception()
    if isinstance(error, _AgainError) and error.wait_s:
        return error.wait_s * random.uniform(1.0, 1.1)  # noqa: S311 - jitter
    return wait_random_exponential(FIRST_PAUSE_S, LONGEST_PAUSE_S)(state)


def retry_after_s(headers: httpx.Headers) -> float:
    """Return the Retry-After of an answer, of seconds or an HTTP date; 0.0 if there is none to read.

    A date is counted from the answer's own clock, where it tells it: that clock wrote the date.
    """
    value = headers.get("retry-after", "")
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    until_s = _epoch_s(value)
    return max(0.0, until_s - (_epoch_s(headers.get("date", "")) or time.time())) if until_s else 0.0


def _epoch_s(value: str) -> float:
    """Return an HTTP date as epoch seconds; 0.0 if it is none."""
    try:
        return email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _members(text: bytes) -> dict[str, Any]:
    """Return the members of a JSON object; none where it is no object."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _refusal(status: int, code: str) -> str:
    if code in _REFUSALS:
        return "CXone " + _REFUSALS[code].format(f"{status} {code}")
    if status in (400, 401, 403):
        return "CXone " + _CREDENTIALS.format(status)
    return f"the token endpoint answers {status}; check CXONE_AUTH_URL"


def _claims(jwt: object) -> dict[str, Any]:
    """Return what a JWT says, unverified: it only tells us where to look next. Empty if it is none."""
    parts = jwt.split(".") if isinstance(jwt, str) else []
    try:
        return _members(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))) if len(parts) == 3 else {}
    except ValueError:
        return {}
