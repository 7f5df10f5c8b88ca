"""Secrets that protect nothing: too short, a path in place of what it holds, or sent where anyone can read them."""

import re
from pathlib import Path

import pytest

from stream_router.errors import SettingsError
from stream_router.settings.consumer import Consumer
from stream_router.settings.reading import load
from stream_router.settings.receiver import Receiver
from stream_router.settings.secrets import weakness
from tests.environment import CONSUMER, RECEIVER, given

pytestmark = pytest.mark.usefixtures("empty_environment")

STRONG = "0123456789abcdef"
SECRETS = "STREAM_ROUTER_WEBHOOK_SECRETS"
SCHEME = "STREAM_ROUTER_WEBHOOK_SCHEME"


def settings(monkeypatch: pytest.MonkeyPatch, scheme: str, secrets: str, **more: str) -> Receiver:
    given(monkeypatch, {**RECEIVER, SCHEME: scheme, SECRETS: secrets})
    given(monkeypatch, {f"STREAM_ROUTER_{name}": value for name, value in more.items()})
    return load(Receiver)


@pytest.mark.parametrize("scheme", ["expert", "hmac", "bearer"])
@pytest.mark.parametrize("secrets", ["t", STRONG[:15], f"{STRONG},short", f"short,{STRONG}"])
def test_a_short_secret_is_refused(monkeypatch: pytest.MonkeyPatch, scheme: str, secrets: str) -> None:
    """One of several is enough: all of them are live."""
    with pytest.raises(SettingsError, match=f"^{SECRETS}: has a secret of less than 16 bytes; ") as error:
        settings(monkeypatch, scheme, secrets)
    assert secrets not in str(error.value).replace("STREAM_ROUTER_WEBHOOK_SECRETS", "").split("; ")[0].split()


@pytest.mark.parametrize(
    "path",
    ["/etc/stream-router/secrets", "./secrets.txt", "../a/b", "secrets.pem", "/run/secrets/webhook", "conf/s.key"],
)
def test_a_path_without_file_is_refused(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """The path, which stands in the documentation, would be the key that every event is signed with."""
    with pytest.raises(SettingsError, match=f"^{SECRETS}: would itself be the secret, .*file:"):
        settings(monkeypatch, "hmac", path)


@pytest.mark.parametrize(
    "reference",
    [
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:webhook-AbCdEf",
        "arn:aws-us-gov:ssm:us-gov-west-1:123456789012:parameter/webhook",
        "https://vault.example.com/v1/secret/webhook",
        "$THE_WEBHOOKS_SECRET",
        "${THE_WEBHOOKS_SECRET}",
        "$(cat /run/secrets/webhook)",
    ],
)
def test_what_names_a_secret_is_none(monkeypatch: pytest.MonkeyPatch, reference: str) -> None:
    """Task definitions and unit files show it to many, and no shell reads them."""
    for secrets in (reference, f"{STRONG},{reference}"):
        with pytest.raises(SettingsError, match=rf"^{SECRETS}: would itself be the secret, .*secretsmanager:ARN"):
            settings(monkeypatch, "hmac", secrets)
    with pytest.raises(SettingsError, match=r"^STREAM_ROUTER_ADMIN_TOKEN: would itself be the secret, "):
        settings(monkeypatch, "hmac", STRONG, ADMIN_TOKEN=reference, RECEIVER_ADMIN_LISTEN="0.0.0.0:9465")


@pytest.mark.parametrize("document", [f'{{"webhook": "{STRONG}"}}', f'{{"a":"{STRONG}","b":"{STRONG}"}}'])
def test_pairs_of_secrets_manager_are_no_secret(monkeypatch: pytest.MonkeyPatch, document: str) -> None:
    """ECS puts the whole document into the variable, and a comma in it would divide it."""
    with pytest.raises(
        SettingsError, match=f"^{SECRETS}: would itself be the secret, .*; set the secret alone, "
    ) as error:
        settings(monkeypatch, "hmac", document)
    assert STRONG not in str(error.value)


@pytest.mark.parametrize(
    ("scheme", "secrets"),
    [
        ("hmac", STRONG),
        ("hmac", "$" + STRONG),
        ("hmac", "file:/etc/stream-router/secrets"),
        ("hmac", "/" + "Ab3+" * 10 + "9w=="),
        ("hmac", "/Zk3p/q1VvX8cY7bN6mM5lL4kK3jJ2hH1gG0fF9dD8sS7="),
        ("bearer", "sk_live.0123456789abcdef"),
        ("basic", "nice:a longer password"),
        ("standard-webhooks", "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="),
        ("none", "t"),
    ],
)
def test_a_good_secret_is_taken(monkeypatch: pytest.MonkeyPatch, scheme: str, secrets: str) -> None:
    """Base64 may begin with a slash and hold more of them; 16 bytes are enough."""
    settings(monkeypatch, scheme, secrets)


@pytest.mark.parametrize("secret", ["a-user-of-many-letters:short", f"{STRONG}:{STRONG[:15]}", f"{STRONG}:"])
def test_the_password_counts_and_not_its_user(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    """A user's name is no secret: one of many letters made any password look strong."""
    with pytest.raises(SettingsError, match=f"^{SECRETS}: has a secret of less than 16 bytes"):
        settings(monkeypatch, "basic", secret)
    settings(monkeypatch, "basic", secret, WEAK_SECRETS="allow")


@pytest.mark.parametrize("secret", ["t", "/etc/stream-router/secrets"])
def test_whoever_wants_a_weak_secret_says_so(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    """A sender that takes six letters only exists."""
    settings(monkeypatch, "hmac", secret, WEAK_SECRETS="allow")


@pytest.mark.parametrize("scheme", ["bearer", "basic"])
@pytest.mark.parametrize("listen", ["0.0.0.0:8080", "[::]:8080", "10.1.2.3:8080", "receiver.example:8080"])
def test_a_secret_is_not_sent_over_plain_http(monkeypatch: pytest.MonkeyPatch, scheme: str, listen: str) -> None:
    """Beyond this machine anyone on the way reads it, and is from then on a sender."""
    with pytest.raises(SettingsError, match=f"^{SCHEME}: {scheme} would send .*TLS_CERT.*TRUSTED_PROXIES$"):
        settings(monkeypatch, scheme, f"user:{STRONG}", LISTEN=listen)


@pytest.mark.parametrize(
    "more",
    [
        {"LISTEN": "127.0.0.1:8080"},
        {"LISTEN": "[::1]:8080"},
        {"LISTEN": "localhost:8080"},
        {"LISTEN": "0.0.0.0:8443", "TLS_CERT": "/c.pem", "TLS_KEY": "/k.pem"},
        {"LISTEN": "0.0.0.0:8080", "TRUSTED_PROXIES": "10.0.0.0/8"},
    ],
)
def test_tls_here_or_in_front_makes_it_safe(monkeypatch: pytest.MonkeyPatch, more: dict[str, str]) -> None:
    """Our own certificate, a proxy that is named, or a wire that never leaves this machine."""
    settings(monkeypatch, "bearer", STRONG, **more)


@pytest.mark.parametrize(
    ("key", "use", "value"),
    [("MASKING_KEY", "MASKING", "default"), ("AUDIT_KEY", "AUDIT_DIR", "/tmp")],
)
def test_a_key_of_the_consumer_is_as_strong_and_has_a_use(
    monkeypatch: pytest.MonkeyPatch, key: str, use: str, value: str
) -> None:
    """Set alone it would do nothing while its owner believes in masking, or in the audit."""
    given(monkeypatch, {**CONSUMER, f"STREAM_ROUTER_{key}": STRONG})
    with pytest.raises(SettingsError, match=f"^STREAM_ROUTER_{key}: is set, but STREAM_ROUTER_{use} is not"):
        load(Consumer)
    given(monkeypatch, {f"STREAM_ROUTER_{use}": value})
    load(Consumer)
    given(monkeypatch, {f"STREAM_ROUTER_{key}": "x"})
    with pytest.raises(SettingsError, match=f"^STREAM_ROUTER_{key}: has a secret of less than 16 bytes"):
        load(Consumer)


@pytest.mark.parametrize("program", [Consumer, Receiver])
def test_the_admin_token_is_as_strong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: type[Consumer | Receiver]
) -> None:
    """Whoever reaches the port could try out a short one, so too where it stands in a file; on loopback nobody does."""
    given(monkeypatch, {**CONSUMER, **RECEIVER, SECRETS: STRONG, "STREAM_ROUTER_ADMIN_TOKEN": "x" * 15})
    assert load(program).key("admin_token") == "x" * 15
    beyond = {f"STREAM_ROUTER_{name}ADMIN_LISTEN": "0.0.0.0:1" for name in ("", "RECEIVER_")}
    given(monkeypatch, beyond)
    short = "STREAM_ROUTER_ADMIN_TOKEN: has a secret of less than 16 bytes"
    with pytest.raises(SettingsError, match=f"^{short}"):
        load(program)
    (tmp_path / "token").write_text("x" * 15)
    given(monkeypatch, {"STREAM_ROUTER_ADMIN_TOKEN": f"file:{tmp_path / 'token'}"})
    with pytest.raises(SettingsError, match=f"^{short}"):
        load(program).key("admin_token")
    given(monkeypatch, {"STREAM_ROUTER_WEAK_SECRETS": "allow"})
    assert load(program).key("admin_token") == "x" * 15
    given(monkeypatch, {"STREAM_ROUTER_ADMIN_TOKEN": "x" * 15})
    load(program)


@pytest.mark.parametrize(
    "setting",
    [
        " file:/etc/stream-router/secrets",
        "FILE:/etc/stream-router/secrets",
        "a secret of some length,ssm:/its/name/here",
    ],
)
def test_a_reference_that_is_not_read_is_no_secret(setting: str) -> None:
    """After a blank, in capitals or behind a comma it would be taken as the key that it names, for anyone to read."""
    assert re.match(r"would itself be the secret, .* first and alone", weakness(setting))
    assert not weakness(setting.strip().rpartition(",")[2].lower())


@pytest.mark.parametrize("blank", [" ", "\n", " \r\n"])
def test_a_blank_secret_is_refused(monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    """It would pass for one, and guard nothing."""
    given(monkeypatch, {**CONSUMER, "STREAM_ROUTER_ADMIN_TOKEN": blank, "STREAM_ROUTER_ADMIN_LISTEN": "0.0.0.0:1"})
    with pytest.raises(SettingsError, match=r"^STREAM_ROUTER_ADMIN_TOKEN: is blank; give the secret, file:PATH"):
        load(Consumer)


def test_a_list_without_an_item_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a template whose variables were empty: the secret would have gone over the wire for anyone to read."""
    with pytest.raises(SettingsError, match=f"^{SCHEME}: bearer would send"):
        settings(monkeypatch, "bearer", STRONG, LISTEN="0.0.0.0:8080", TRUSTED_PROXIES=" , ")
