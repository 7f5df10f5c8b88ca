"""CXone over HTTPS: an access token by client credentials (docs/facts.md, "CXone").

Error texts quote only the words of an answer that are listed here: any other text of an answer could repeat the secret
that we sent.
"""

import base64
import importlib.metadata
import json
import random
import ssl
import time
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay, wait_random_exponential

from stream_router.aws_answers import parse_http_date
from stream_router.errors import SettingsError
from stream_router.settings.operators import Cxone
from stream_router.settings.types import check_for_credentials

ISSUER = "https://cxone.niceincontact.com"
"""Host of the discovery documents of every region.

Source: NICE's developer pages (docs/facts.md, "CXone").
"""

SCOPES = frozenset({"integration:read", "webhook:read"})
"""Scopes that are requested: reading the configuration. NICE grants scopes to each client."""

DEADLINE_S = 45.0
"""Seconds after which no further attempt of a request begins, counted from the first attempt."""

TIMEOUT_S = 10.0
"""Seconds after which one step of an attempt fails: the connection, or one read."""

MIN_PAUSE_S, MAX_PAUSE_S = 2.0, 20.0
"""Upper bound in seconds of the first random pause between two attempts, and of all pauses.

CXone sends no reliable Retry-After, so our own bound doubles from 2 s (docs/facts.md, "CXone").
"""

# Firewalls block requests without a User-Agent: AWS WAF has the rule "NoUserAgent_HEADER".
_HEADERS = {"Accept": "application/json", "User-Agent": f"stream-router/{importlib.metadata.version('stream_router')}"}

_CREDENTIALS = "refuses the credentials ({}); check CXONE_CLIENT_ID and CXONE_CLIENT_SECRET"
_GRANT = "does not allow this client the client credentials grant ({}); ask NICE for a client that has it"
_UNAVAILABLE = "has an error of its own ({}); try again later"
_REFUSALS = {
    **dict.fromkeys(("invalid_request", "invalid_client", "invalid_grant"), _CREDENTIALS),
    **dict.fromkeys(("access_denied", "invalid_token"), _CREDENTIALS),
    **dict.fromkeys(("unauthorized_client", "unsupported_grant_type"), _GRANT),
    "invalid_scope": f"refuses the scopes ({{}}); ask NICE to grant this client {' '.join(sorted(SCOPES))}",
    # With these errors the credentials may be right.
    **dict.fromkeys(("server_error", "temporarily_unavailable", "slow_down"), _UNAVAILABLE),
}
"""Meaning and cure by OAuth 2.0 error code (RFC 6749, 5.2; RFC 6750, 3.1; RFC 8628, 3.5).

Each text continues `CXone`, and takes the status and the code in its braces.
"""


class CxoneError(Exception):
    """CXone refused, or cannot be reached.

    The text is one line with the cure and without secrets.
    """


class _RetryableError(Exception):
    """Another attempt may succeed.

    `wait_s` is the pause that CXone asks for; 0.0 if it asks for none.
    """

    def __init__(self, problem: str, wait_s: float = 0.0) -> None:
        super().__init__(problem)
        self.wait_s = wait_s


class Token(NamedTuple):
    """Properties of an access token. The token itself is not kept, since nothing here uses it.

    `life_s` is None if CXone does not state the token's lifetime, `scopes` is None if it does not
    state what it granted, and `tenant_id` is empty if the token names no tenant.
    """

    life_s: float | None
    scopes: frozenset[str] | None
    tenant_id: str

    def describe(self) -> str:
        """Return the token's lifetime in words."""
        return "a token of unknown lifetime" if self.life_s is None else f"a token of {self.life_s:.0f} s"


class CxoneClient:
    """HTTPS client of CXone.

    It uses the environment's proxy and CA certificates (SSL_CERT_FILE, else AWS_CA_BUNDLE). The constructor raises
    SettingsError if the CA certificates cannot be read, `token` if the proxy cannot be used.

    A request that ends with 429, 5xx or a broken connection is sent again until DEADLINE_S has passed. Redirects are
    not followed.
    """

    def __init__(self, settings: Cxone) -> None:
        self._settings = settings
        bundle = settings.certificates
        try:
            self._tls = ssl.create_default_context(cafile=str(bundle)) if bundle else httpx.create_ssl_context()
        except OSError:
            variable = "AWS_CA_BUNDLE" if bundle else "SSL_CERT_FILE"
            cure = "name a PEM file (a folder for SSL_CERT_DIR), or unset it"
            raise SettingsError(variable, "the CA certificates cannot be read", cure) from None

    def token(self) -> Token:
        """Request an access token for the client's id and secret. Raises CxoneError."""
        settings = self._settings
        url = settings.auth_url or self._token_endpoint()
        # Both parts are URL-encoded, as RFC 6749 (2.3.1) requires and CXone's own clients do.
        pair = f"{quote(settings.client_id or '', safe='')}:{quote(settings.secret('client_secret'), safe='')}"
        headers = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
        form = {"grant_type": "client_credentials", "scope": " ".join(sorted(SCOPES))}
        answer = self._send_with_retries("the token endpoint", "POST", url, data=form, headers=headers)
        body = _parse_members(answer.content)
        code = body.get("error") if isinstance(body.get("error"), str) else ""
        if answer.status_code not in (200, 201) or code in _REFUSALS:
            raise CxoneError(_describe_refusal(answer.status_code, str(code)))
        value = body.get("access_token")
        if not isinstance(value, str) or not value:
            raise CxoneError("the answer of the token endpoint has no token; check CXONE_AUTH_URL")
        claims = {**_read_claims(value), **_read_claims(body.get("id_token"))}
        tenant_id = claims.get("tenantId")
        return Token(
            _parse_lifetime_s(body.get("expires_in")),
            _parse_scopes(body.get("scope") or claims.get("scope")),
            tenant_id if isinstance(tenant_id, str) else "",
        )

    def _token_endpoint(self) -> str:
        """Return the URL of the token endpoint that CXone's discovery document names.

        Raises CxoneError if there is no such document, or if it is not safe to send credentials to the endpoint: the
        document is of another issuer, or the URL is neither https nor on loopback.
        """
        answer = self._send_with_retries("the discovery", "GET", f"{ISSUER}/.well-known/openid-configuration")
        document = _parse_members(answer.content)
        url, cure = document.get("token_endpoint"), "set CXONE_AUTH_URL to the endpoint"
        if answer.status_code != 200 or not isinstance(url, str):
            raise CxoneError(f"the discovery answers {answer.status_code} and names no token endpoint; {cure}")
        if str(document.get("issuer", ISSUER)).rstrip("/") != ISSUER:  # OpenID Discovery 4.3
            raise CxoneError(f"the discovery document names another issuer than {ISSUER}; {cure}")
        try:
            check_for_credentials(url)
            httpx.URL(url)
        except (ValueError, httpx.InvalidURL):
            raise CxoneError(f"the discovered token_endpoint is not an https:// URL; {cure}") from None
        return url

    def _send_with_retries(self, endpoint: str, method: str, url: str, **request: Any) -> httpx.Response:
        """Send a request until an answer is neither 429 nor 5xx, and return it.

        Raises CxoneError after DEADLINE_S.
        """
        attempts = Retrying(
            retry=retry_if_exception_type(_RetryableError),
            wait=_choose_pause_s,
            stop=stop_before_delay(DEADLINE_S),
            reraise=True,
        )
        try:
            return attempts(self._attempt, endpoint, method, url, **request)
        except _RetryableError as error:
            raise CxoneError(f"{endpoint}: {error}; try again later") from None

    def _attempt(self, endpoint: str, method: str, url: str, **request: Any) -> httpx.Response:
        """Send a request once.

        Raises _RetryableError if another attempt may help, else CxoneError or SettingsError. `endpoint` is the
        endpoint's name in error texts.
        """
        host = httpx.URL(url).host
        try:
            # Only loopback is called by plain HTTP. No proxy is used there, since it would take the credentials off
            # this machine.
            by_proxy = url.startswith("https:")
            client = httpx.Client(timeout=TIMEOUT_S, verify=self._tls, headers=_HEADERS, trust_env=by_proxy)
        except (ValueError, ImportError, httpx.InvalidURL):  # the error may quote a password, so it is not repeated
            cure = "set http://HOST:PORT, and only names in NO_PROXY, or unset them"
            raise SettingsError("HTTPS_PROXY, ALL_PROXY, NO_PROXY", "cannot be used", cure) from None
        try:
            with client:
                answer = client.request(method, url, **request)
        except httpx.ProxyError as error:  # only the status of the proxy's text is repeated
            status = str(error)[:3]
            if status not in ("401", "403", "407"):
                raise _RetryableError(
                    f"{host} cannot be reached through the proxy of HTTPS_PROXY or ALL_PROXY"
                ) from None
            cure = f"allow {host} there, name it in NO_PROXY, or give a user: http://USER:PASSWORD@HOST:PORT"
            raise CxoneError(f"{endpoint}: the proxy of HTTPS_PROXY or ALL_PROXY refuses ({status}); {cure}") from None
        except (
            httpx.RequestError,
            ValueError,
        ) as error:  # ValueError: the host name has a form that cannot be resolved
            # Texts of connection errors come from the system and OpenSSL; others may quote the request.
            reason = str(error) if isinstance(error, httpx.ConnectError) else type(error).__name__
            if "CERTIFICATE_VERIFY_FAILED" in reason:  # another attempt would get the same certificate
                cure = "set SSL_CERT_FILE or AWS_CA_BUNDLE to the CA that signed it, or check the host's name"
                raise CxoneError(f"{endpoint}: the certificate of {host} is not trusted ({reason}); {cure}") from None
            raise _RetryableError(f"{host} cannot be reached ({reason})") from None
        if answer.status_code == 429 or answer.status_code >= 500:
            problem = "throttles our requests" if answer.status_code == 429 else "has an error of its own"
            requested_s = retry_after_s(answer.headers)
            requested = f" and asks for a pause of {requested_s:.0f} s" if requested_s else ""
            raise _RetryableError(f"CXone {problem} ({answer.status_code}){requested}", requested_s)
        return answer


def _choose_pause_s(state: RetryCallState) -> float:
    """Return the seconds before the next attempt: the pause that CXone asks for, else a random one up to a bound.

    The bound doubles with each attempt, from MIN_PAUSE_S to MAX_PAUSE_S.
    """
    error = state.outcome and state.outcome.exception()
    if isinstance(error, _RetryableError) and error.wait_s:
        # Up to a tenth more, so that programs that were throttled together do not call again at the same moment.
        return error.wait_s * random.uniform(1.0, 1.1)  # noqa: S311 - jitter
    return wait_random_exponential(MIN_PAUSE_S, MAX_PAUSE_S)(state)


def retry_after_s(headers: httpx.Headers) -> float:
    """Return the seconds of an answer's Retry-After, which may be a number or an HTTP date; 0.0 if there is none."""
    value = headers.get("retry-after", "")
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    until_s = parse_http_date(value)
    if not until_s:
        return 0.0
    # The server's clock wrote the date, so it is compared with the answer's own Date if there is one.
    now_s = parse_http_date(headers.get("date", "")) or time.time()
    return max(0.0, until_s - now_s)


def _parse_members(text: bytes) -> dict[str, Any]:
    """Return the members of a JSON object; {} if the text is not a JSON object."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _parse_lifetime_s(expires_in: object) -> float | None:
    """Return the lifetime that `expires_in` states, in seconds; None if it is missing or not plausible."""
    if isinstance(expires_in, int | float) and 1 <= expires_in < 10**9:
        return float(expires_in)
    return None


def _parse_scopes(granted: object) -> frozenset[str] | None:
    """Return the granted scopes; None if the answer states none.

    They are a text separated by spaces, or a list.
    """
    if isinstance(granted, list):
        granted = " ".join(map(str, granted))
    return frozenset(granted.split()) if isinstance(granted, str) else None


def _describe_refusal(status: int, code: str) -> str:
    """Return the meaning and the cure of a refusal by its status and its OAuth error code."""
    if code in _REFUSALS:
        return "CXone " + _REFUSALS[code].format(f"{status} {code}")
    if status in (400, 401, 403):
        return "CXone " + _CREDENTIALS.format(status)
    return f"the token endpoint answers {status}; check CXONE_AUTH_URL"


def _read_claims(jwt: object) -> dict[str, Any]:
    """Return the claims of a JWT; {} if the value is not a JWT.

    The signature is not verified: the claims are only shown.
    """
    parts = jwt.split(".") if isinstance(jwt, str) else []
    if len(parts) != 3:
        return {}
    padding = "=" * (-len(parts[1]) % 4)  # a JWT has its base64 without padding, which Python's decoder needs
    try:
        return _parse_members(base64.urlsafe_b64decode(parts[1] + padding))
    except ValueError:
        return {}
