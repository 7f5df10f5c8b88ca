"""The environment's proxy on the way to CXone: what goes by way of it, and what its refusal means."""

import re
import ssl
import urllib.request

import httpx

from stream_router.errors import SettingsError

_STATUS = re.compile(r"4\d\d\b")
_MAY_PASS = frozenset({408, 429})


class Ways(httpx.BaseTransport):
    """Takes each request straight, or by way of the environment's proxy where `by_way` says so.

    httpx by itself refuses to work at all where NO_PROXY lists what it cannot make a URL of: a network of IPv6, say.
    Raises SettingsError where the proxy is none.
    """

    def __init__(self, verify: ssl.SSLContext) -> None:
        self._straight = self._by_proxy = httpx.HTTPTransport(verify=verify)
        name, url = _asked()
        if not url:
            return
        try:
            where = httpx.URL(url if "://" in url else f"http://{url}")
            proxy = httpx.Proxy(where, ssl_context=verify if where.scheme == "https" else None)
            self._by_proxy = httpx.HTTPTransport(verify=verify, proxy=proxy)
        except (ValueError, ImportError, httpx.InvalidURL):
            raise SettingsError(f"{name}: no HTTP proxy's URL; set http://HOST:PORT, or unset it") from None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it."""
        return (self._by_proxy if by_way(request.url) else self._straight).handle_request(request)

    def close(self) -> None:
        """Close all connections."""
        self._straight.close()
        self._by_proxy.close()


def _asked() -> tuple[str, str]:
    """The proxy for HTTPS: the variable that names it, and its URL; "" where there is none."""
    known = urllib.request.getproxies_environment()
    name = next((name for name in ("https", "all") if known.get(name)), "")
    return f"{name.upper()}_PROXY", known.get(name, "")


def by_way(url: httpx.URL) -> str:
    """What a line of trouble says of the way to `url`; "" where it leads there directly.

    Plain HTTP goes to loopback alone: a proxy would carry the credentials off this machine.
    """
    name, proxy = _asked()
    bypassed = urllib.request.proxy_bypass(url.host, urllib.request.getproxies_environment())
    if url.scheme != "https" or not proxy or bypassed:
        return ""
    return f" by way of the proxy of {name}"


def refusal(error: httpx.ProxyError, host: str) -> str:
    """What is wrong and its cure, where a proxy refuses for good; "" where another attempt may help.

    Of what it says only the status is repeated.
    """
    found = _STATUS.match(str(error))
    if not found or int(found[0]) in _MAY_PASS:
        return ""
    cure = f"let {host} through there, or name it in NO_PROXY"
    if found[0] == "407":
        cure = "give it a user: http://USER:PASSWORD@HOST:PORT in HTTPS_PROXY"
    return f"the proxy refuses the way to {host} ({found[0]}); {cure}"
