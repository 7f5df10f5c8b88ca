"""Where CXone is: the token endpoint, and a tenant's API host, by its discovery documents (docs/facts.md, "CXone")."""

from typing import Any, NamedTuple

import httpx

from stream_router.cxone.web import CxoneError, Web, check_url

ISSUER = "https://cxone.niceincontact.com"
"""Where the discovery documents are, of every region: NICE's developer pages (docs/facts.md, "CXone")."""


class Tenant(NamedTuple):
    """A tenant's place: the base URL of its API, and its area (empty where the document names none)."""

    api_endpoint: str
    area: str


def token_endpoint(web: Web) -> str:
    """The token endpoint that CXone publishes. Raises CxoneError."""
    document = _document(web, f"{ISSUER}/.well-known/openid-configuration", "the discovery of the token endpoint")
    said = document.get("issuer", ISSUER)
    if not isinstance(said, str) or said.rstrip("/") != ISSUER:
        raise CxoneError(
            f"the discovery document is another issuer's than {ISSUER}; set CXONE_AUTH_URL to the endpoint"
        )
    found = document.get("token_endpoint")
    if not isinstance(found, str):
        raise CxoneError("the discovery document names no token_endpoint; set CXONE_AUTH_URL to it")
    return check_url(found, "the discovered token_endpoint")


def tenant(web: Web, tenant_id: str) -> Tenant:
    """Where a tenant's API is. Raises CxoneError."""
    try:
        url = httpx.URL(f"{ISSUER}/.well-known/cxone-configuration", params={"tenantId": tenant_id})
    except (ValueError, httpx.InvalidURL):
        raise CxoneError("the token names a tenant that no URL can name; check the tenant with NICE") from None
    found = _document(web, str(url), "the discovery of the tenant's API host")
    endpoint = found.get("api_endpoint")
    if not isinstance(endpoint, str):
        raise CxoneError("the tenant's discovery document names no api_endpoint; check the tenant with NICE")
    area = found.get("area")
    return Tenant(check_url(endpoint, "the tenant's api_endpoint"), area if isinstance(area, str) else "")


def _document(web: Web, url: str, what: str) -> dict[str, Any]:
    answer = web.send(httpx.Request("GET", url), what)
    found = answer.document()
    if answer.status_code != 200 or not isinstance(found, dict):
        raise CxoneError(f"{what} answers {answer.status_code} and no document; set CXONE_AUTH_URL, or try later")
    return found
