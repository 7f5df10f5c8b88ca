"""The environment's proxy on the way to CXone: whether a request goes by way of it, and what its refusal means."""

import re
import urllib.request

import httpx

_STATUS = re.compile(r"4\d\d\b")
_MAY_PASS = frozenset({408, 429})


def by_way(url: httpx.URL) -> str:
    """What a line of trouble says of the way to `url`; "" where it leads there directly."""
    known = urllib.request.getproxies_environment()
    name = next((name for name in (url.scheme, "all") if known.get(name)), "")
    if url.scheme != "https" or not name or urllib.request.proxy_bypass(url.host, known):
        return ""
    return f" by way of the proxy of {name.upper()}_PROXY"


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
