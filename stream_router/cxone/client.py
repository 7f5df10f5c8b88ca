"""CXone over HTTPS: an access token by client credentials, and where a tenant's API is (docs/facts.md, "CXone").

Of what an answer says only known words are repeated: anything else could be our own secret.
"""

import base64
import email.utils
import importlib.metadata
import json
import random
import ssl
import time
import urllib.request
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

ANSWER_MAX_BYTES = 1024 * 1024
"""A token and a discovery document have a few kilobytes; what is longer is none."""

_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # unpacking could make any size of a body
    # Firewalls take a request without it for a robot's, AWS's own set of rules among them ("NoUserAgent_HEADER").
    "User-Agent": f"stream-router/{importlib.metadata.version('stream_router')}",
}

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

    def told(self) -> str:
        """Its life, in words."""
        return "a token whose life is not told" if self.life_s is None else f"a token of {self.life_s:.0f} s"


class CxoneClient:
    """Asks CXone, with the proxy of the environment, and its CA certificates: SSL_CERT_FILE, else AWS_CA_BUNDLE.

    429, 5xx and broken connections are tried again until `deadline_s` has passed; redirects are not followed. Raises
    SettingsError where the CA certificates cannot be read.
    """

    def __init__(self, settings: Cxone, deadline_s: float = DEADLINE_S) -> None:
        self._settings = settings
        self._deadline_s = deadline_s
        bundle = settings.certificates
        try:
            self._tls = ssl.create_default_context(cafile=str(bundle)) if bundle else httpx.create_ssl_context()
        except OSError:
            variable = "AWS_CA_BUNDLE" if bundle else "SSL_CERT_FILE"
            cure = "name a PEM file (a folder for SSL_CERT_DIR), or unset it"
            raise SettingsError(f"{variable}: the CA certificates cannot be read; {cure}") from None

    def token(self) -> Token:
        """Get an access token for the client's id and secret. Raises CxoneError."""
        given = self._settings
        url = given.auth_url or self._token_endpoint()
        # Both parts URL-encoded, as RFC 6749 (2.3.1) wants and CXone's own clients do.
        pair = f"{quote(given.client_id or '', safe='')}:{quote(given.secret('client_secret'), safe='')}"
        headers = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
        form = {"grant_type": "client_credentials", "scope": " ".join(sorted(SCOPES))}
        status, text = self._send("the token endpoint", "POST", url, data=form, headers=headers)
        body = _members(text)
        code = body.get("error") if isinstance(body.get("error"), str) else ""
        if status not in (200, 201) or code in _REFUSALS:
            raise CxoneError(_refusal(status, str(code)))
        value = body.get("access_token")
        if not isinstance(value, str) or not value:
            raise CxoneError("the token endpoint's answer holds no token; check CXONE_AUTH_URL")
        claims = {**_claims(value), **_claims(body.get("id_token"))}
        tenant_id = claims.get("tenantId")
        return Token(
            _life_s(body.get("expires_in")),
            _scopes(body.get("scope") or claims.get("scope")),
            tenant_id if isinstance(tenant_id, str) else "",
        )

    def tenant(self, tenant_id: str) -> str:
        """Where a tenant's API is, in words: its host, which answers (anything below 500 proves it), and its area.

        Raises CxoneError.
        """
        try:
            url = str(httpx.URL(f"{ISSUER}/.well-known/cxone-configuration", params={"tenantId": tenant_id}))
        except (ValueError, httpx.InvalidURL):
            raise CxoneError("the token names a tenant that no URL can name; check the tenant with NICE") from None
        found = self._document(url, "the discovery of the tenant's API host")
        endpoint = _safe(found.get("api_endpoint"), "the tenant's api_endpoint", "check the tenant with NICE")
        self._send("the tenant's API host", "GET", endpoint)
        area = f", area {found['area']}" if isinstance(found.get("area"), str) else ""
        return f"its API host {httpx.URL(endpoint).host} answers{area}"

    def _token_endpoint(self) -> str:
        found = self._document(f"{ISSUER}/.well-known/openid-configuration", "the discovery of the token endpoint")
        if str(found.get("issuer", ISSUER)).rstrip("/") != ISSUER:  # OpenID Discovery 4.3
            raise CxoneError(
                f"the discovery document is another issuer's than {ISSUER}; set CXONE_AUTH_URL to the endpoint"
            )
        return _safe(found.get("token_endpoint"), "the discovered token_endpoint", "set CXONE_AUTH_URL to it")

    def _document(self, url: str, what: str) -> dict[str, Any]:
        status, text = self._send(what, "GET", url)
        if status != 200 or not (found := _members(text)):
            raise CxoneError(f"{what} answers {status} and no document; set CXONE_AUTH_URL, or try later")
        return found

    def _send(self, what: str, method: str, url: str, **request: Any) -> tuple[int, bytes]:
        """Status and body of the first answer that is neither 429 nor 5xx. Raises CxoneError."""
        attempts = Retrying(
            retry=retry_if_exception_type(_AgainError),
            wait=_pause_s,
            stop=stop_before_delay(self._deadline_s),
            reraise=True,
        )
        try:
            return attempts(self._attempt, what, method, url, request, time.monotonic() + self._deadline_s)
        except _AgainError as error:
            raise CxoneError(f"{what}: {error}; try again later") from None

    def _attempt(
        self, what: str, method: str, url: str, request: dict[str, Any], give_up_at: float
    ) -> tuple[int, bytes]:
        host = httpx.URL(url).host
        variable, proxy = _proxy(url)
        way = f" by way of the proxy of {variable}" if proxy else ""
        step_s = max(0.1, min(TIMEOUT_S, give_up_at - time.monotonic()))
        try:
            with self._client(variable, proxy, step_s) as client, client.stream(method, url, **request) as answer:
                _pass_on_trouble(answer)
                return answer.status_code, _body(answer, what, give_up_at)
        except httpx.TimeoutException:
            raise _AgainError(f"{host} does not answer in time{way}") from None
        except httpx.ProxyError as error:  # of what a proxy says only the status is repeated
            if str(error)[:3] not in ("401", "403", "407"):
                raise _AgainError(f"{host} cannot be reached{way} (ProxyError)") from None
            cure = f"let {host} through there, name it in NO_PROXY, or give a user: http://USER:PASSWORD@HOST:PORT"
            raise CxoneError(f"{what}: the proxy of {variable} refuses the way ({str(error)[:3]}); {cure}") from None
        except (httpx.RequestError, ValueError) as error:  # a host name that cannot be asked for is a ValueError
            # Of connections the words are the system's and OpenSSL's own.
            told = str(error) if isinstance(error, httpx.ConnectError) else type(error).__name__
            if "CERTIFICATE_VERIFY_FAILED" in told:  # another attempt would meet the same one
                cure = "set SSL_CERT_FILE or AWS_CA_BUNDLE to the CA that signed it, or check the host's name"
                raise CxoneError(f"{what}: the certificate of {host}{way} is not trusted ({told}); {cure}") from None
            raise _AgainError(f"{host} cannot be reached{way} ({told})") from None

    def _client(self, variable: str, proxy: str, timeout_s: float) -> httpx.Client:
        try:
            way = httpx.Proxy(proxy, ssl_context=self._tls if proxy.startswith("https:") else None) if proxy else None
            return httpx.Client(timeout=timeout_s, verify=self._tls, proxy=way, headers=_HEADERS, trust_env=False)
        except (ValueError, ImportError, httpx.InvalidURL):
            raise SettingsError(f"{variable}: no HTTP proxy's URL; set http://HOST:PORT, or unset it") from None


def _proxy(url: str) -> tuple[str, str]:
    """The environment's variable and its proxy on the way to `url`; "" and "" where it leads there directly.

    By urllib: httpx refuses to work at all where NO_PROXY lists what it cannot make a URL of, a network of IPv6 say.
    Plain HTTP goes to loopback alone: a proxy would carry the credentials off this machine.
    """
    known = urllib.request.getproxies_environment()
    name = next((name for name in ("https", "all") if known.get(name)), "")
    if not name or not url.startswith("https:") or urllib.request.proxy_bypass(httpx.URL(url).host, known):
        return "", ""
    return f"{name.upper()}_PROXY", known[name] if "://" in known[name] else f"http://{known[name]}"


def _pause_s(state: RetryCallState) -> float:
    """What CXone asks for and up to a tenth more, so that callers spread out; else our own pauses, jittered."""
    told = state.outcome and state.outcome.exception()
    if isinstance(told, _AgainError) and told.wait_s:
        return told.wait_s * random.uniform(1.0, 1.1)  # noqa: S311 - jitter
    return wait_random_exponential(FIRST_PAUSE_S, LONGEST_PAUSE_S)(state)


def _safe(url: object, what: str, cure: str) -> str:
    """A URL that a document names, where credentials may be sent to it. Raises CxoneError."""
    if not isinstance(url, str):
        raise CxoneError(f"{what} is not there; {cure}")
    try:
        check_for_credentials(url)
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        raise CxoneError(f"{what} is no https:// URL; credentials are sent over HTTPS only") from None
    return url


def _pass_on_trouble(answer: httpx.Response) -> None:
    """Raises _AgainError for 429 and 5xx."""
    if answer.status_code != 429 and answer.status_code < 500:
        return
    # A date is counted from the answer's own clock, where it tells it: that clock wrote the date.
    now = _epoch_s(answer.headers.get("date", "")) or time.time()
    told_s = retry_after_s(answer.headers.get("retry-after", ""), now)
    does = "throttles us" if answer.status_code == 429 else "is in trouble"
    asks = f" and asks for {told_s:.0f} s" if told_s else ""
    raise _AgainError(f"CXone {does} ({answer.status_code}){asks}", told_s)


def retry_after_s(value: str, now: float) -> float:
    """A Retry-After of seconds or an HTTP date, in seconds from `now` (epoch); 0.0 where there is none to read."""
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    until = _epoch_s(value)
    return max(0.0, until - now) if until else 0.0


def _epoch_s(value: str) -> float:
    """An HTTP date as epoch seconds; 0.0 where it is none."""
    try:
        return email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _body(answer: httpx.Response, what: str, give_up_at: float) -> bytes:
    """The answer's body as it came, within the deadline: httpx's own time-outs begin anew with each byte."""
    body = b""
    for piece in answer.iter_raw():
        body += piece
        if len(body) > ANSWER_MAX_BYTES:
            raise CxoneError(f"{what} answers with more than {ANSWER_MAX_BYTES} bytes; check CXONE_AUTH_URL")
        if time.monotonic() > give_up_at:
            raise httpx.ReadTimeout("the deadline")
    return body


def _members(text: bytes) -> dict[str, Any]:
    """The members of a JSON object; none where it is no object, or is nested deeper than Python reads."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _refusal(status: int, code: str) -> str:
    if code in _REFUSALS:
        return "CXone " + _REFUSALS[code].format(f"{status} {code}")
    if status in (400, 401, 403):
        return "CXone " + _CREDENTIALS.format(status)
    return f"the token endpoint answers {status}; check CXONE_AUTH_URL"


def _life_s(expires_in: object) -> float | None:
    """The life that an answer states, in seconds; None where it states none that a token can have."""
    is_number = isinstance(expires_in, int | float) and not isinstance(expires_in, bool)
    return float(expires_in) if is_number and 1 <= expires_in < 10**9 else None  # type: ignore[operator, arg-type]


def _scopes(granted: object) -> frozenset[str] | None:
    if isinstance(granted, str):
        return frozenset(granted.split())
    if isinstance(granted, list):
        return frozenset(scope for scope in granted if isinstance(scope, str))
    return None


def _claims(jwt: object) -> dict[str, Any]:
    """What a JWT says, unverified: it only tells us where to look next. Empty where it is none."""
    parts = jwt.split(".") if isinstance(jwt, str) else []
    if len(parts) != 3:
        return {}
    try:
        return _members(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
