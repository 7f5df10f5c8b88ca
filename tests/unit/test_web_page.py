"""The page's file: small, alone, and let to run by a policy that names no other host."""

import base64
import hashlib
import re

from stream_router.telemetry import web_page

PAGE = web_page.load()
TEXT = PAGE.body.decode()


def test_it_is_one_small_file() -> None:
    """Under 150 KB, and nothing in it is fetched from anywhere else."""
    assert len(PAGE.body) < 150_000
    assert not re.findall(r"""(?:src|href)=["'](?!data:)|@import|url\(""", TEXT)
    assert set(re.findall(r"https?://[^\"\s]+", TEXT)) == {"http://www.w3.org/2000/svg"}


def test_the_policy_lets_its_own_script_and_style_run_and_asks_nobody_else() -> None:
    """By their hashes; what else got into the page would not run."""
    policy = dict(line.split(" ", 1) for line in dict(PAGE.headers)["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    for tag in ("script", "style"):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", TEXT, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert policy[f"{tag}-src"] == f"'sha256-{digest}'"
    assert "unsafe" not in str(policy)
    assert "http" not in str(policy)


def test_no_attribute_needs_what_the_policy_forbids() -> None:
    """Inline handlers and style attributes would be refused by the browser."""
    assert not re.findall(r"<[^>]+\s(?:on\w+|style)=", TEXT)


def test_it_keeps_the_token_nowhere_but_in_memory() -> None:
    """No storage, no cookie, no address."""
    assert not re.findall(r"localStorage|sessionStorage|cookie|indexedDB|location\.", TEXT)
    assert "innerHTML" not in TEXT, "what /status says is text, never markup"
