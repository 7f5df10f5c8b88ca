"""What is an address over HTTP and what is none, asked in one place."""

from urllib.parse import urlsplit


def is_url(text: str) -> bool:
    """Whether a text has the form of an http or https URL, with a host and a port as there can be one.

    Clients find out at their first call only, and say so in words that name no setting.
    """
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises for a port that is none
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def without_user(url: str) -> str:
    """A URL without the user and the password that may stand in it, so that it can be shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
