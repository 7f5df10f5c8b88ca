"""Writes docs/configuration.md from the settings themselves: `python tools/configuration.py` (or `make docs`)."""

import sys
from pathlib import Path

from pydantic_core import PydanticUndefined

from stream_router.settings import reading
from stream_router.settings.common import Guarded, Settings, takes, variable
from stream_router.settings.consumer import Consumer
from stream_router.settings.operators import Cxone, Setup
from stream_router.settings.receiver import Receiver

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

INTRODUCTION = """# Configuration

## The ten that a first deployment needs

Each has an example. The third column says in whose environment it belongs. The rest of the page has
every setting, by topic. Decide on `STREAM_ROUTER_MASKING` too: it is off.

| variable | for example | of | for |
|---|---|---|---|
"""

TEN = (
    ("AWS_REGION", "eu-central-1", "all"),
    (
        "EVENTBRIDGE_TARGET_ARN",
        "arn:aws:lambda:eu-central-1:123456789012:function:my-function",
        "`setup`, `doctor`",
    ),
    (
        "SQS_DLQ_URL",
        "https://sqs.eu-central-1.amazonaws.com/123456789012/cxone-events-dead-letters",
        "`consume`, `dlq`; `setup` prints it",
    ),
    ("STREAM_ROUTER_WEBHOOK_SCHEME", "hmac", "`receive`"),
    ("STREAM_ROUTER_WEBHOOK_SECRETS", "file:/etc/stream-router/secrets", "`receive`"),
    ("STREAM_ROUTER_LISTEN", "0.0.0.0:8443", "`receive`"),
    ("STREAM_ROUTER_TLS_CERT", "/etc/stream-router/cert.pem", "`receive`, unless a proxy ends TLS"),
    ("STREAM_ROUTER_TLS_KEY", "/etc/stream-router/key.pem", "`receive`, unless a proxy ends TLS"),
    ("STREAM_ROUTER_SPILL_DIR", "/var/lib/stream-router/spill", "`receive`"),
    ("STREAM_ROUTER_STATE_DIR", "/var/lib/stream-router/consumer", "`consume`"),
)
"""Promised (docs/contract.md, "Settings"): the page begins with them."""

RULES = """
## How settings are read

Every setting is an environment variable. It is read once, at start. Bad values end the program with exit status 78,
before anything starts, and with a line for each: the variable, what is wrong with it, and the cure. An empty value is
the same as none. A name that begins with `STREAM_ROUTER_` and that no program knows is refused as well, since a
mistyped setting would do nothing; names are read as they are written, in capitals. Every program knows the settings of
all the others, since they share an environment. Kubernetes' own names for a Service called `stream-router` are passed
over. An unknown `CXONE_` name is a warning, and so are settings of scheme `hmac` that are left beside another scheme.
Bytes that are no UTF-8 are refused, except in a path. A path is used exactly as it is written. One that begins with `~`
is refused: only a shell puts a home folder in its place, and a service has another home than you. A value in quotes is
refused too, since only a shell takes them away; JVM options may have some.
`stream-router config` prints every setting that is in force and where it came from.

A secret may stand elsewhere. In its place a setting then says `file:PATH`, `secretsmanager:ARN` or `ssm:NAME`. This
holds for `STREAM_ROUTER_WEBHOOK_SECRETS`, `_MASKING_KEY`, `_AUDIT_KEY`, `_ADMIN_TOKEN`, `CXONE_CLIENT_SECRET` and
`CXONE_ACCESS_KEY_SECRET`. In a file each secret is a line; empty lines and lines that begin with `#` are none. A line
break at the end of a variable is no part of its secret. There may be several webhook secrets, and the receiver follows
their changes. Each other setting holds one secret, read at start: restart the program after a change. `send` reads
files, but nothing in AWS. In Secrets Manager keep the secret itself (in the console: Plaintext): key/value pairs, and
any JSON document, are refused.

AWS's own variables work as boto3 reads them, for the data plane and the control plane alike: `AWS_PROFILE`,
`AWS_CA_BUNDLE`, `AWS_ENDPOINT_URL`, and `AWS_ENDPOINT_URL_KINESIS`, `_DYNAMODB`, `_EVENTBRIDGE`, `_SQS`, `_CLOUDWATCH`,
`_S3`. The region is `AWS_REGION`, else `AWS_DEFAULT_REGION` (the one that boto3 itself reads), else the profile's. It
has to be one that botocore lists, unless an `AWS_ENDPOINT_URL` says where AWS is: for a region that is newer, upgrade
botocore.
Credentials come from the same chain: environment, profile, web identity, container, instance.

The KCL's daemon is Java, and has a chain of its own. It knows the same sources, but no profile that signs in (IAM
Identity Center, `aws login`): `consume` refuses one. Name a profile that has
`credential_process = aws configure export-credentials --profile THAT_ONE` instead. Nor does Java read `AWS_CA_BUNDLE`:
where AWS is reached through what has certificates of its own, give it a trust store that holds them beside the
public CAs, with `STREAM_ROUTER_JVM_OPTIONS=-Djavax.net.ssl.trustStore=FILE`.

This page is written by `make docs` from the settings; a test sees that it is up to date.
"""

SECTIONS: tuple[tuple[str, str, type[Settings]], ...] = (
    ("Everywhere", "Read by `receive`, `consume` and `setup`.", Guarded),
    ("The receiver", "Read by `stream-router receive`.", Receiver),
    ("The consumer", "Read by `stream-router consume` and its children.", Consumer),
    ("Setup", "Read by `stream-router setup`.", Setup),
    ("CXone", "Read by `stream-router cxone`.", Cxone),
)


def page() -> str:
    """The page's text."""
    fields = {variable(kind, name): (kind, name) for _, _, kind in SECTIONS[::-1] for name in kind.model_fields}
    ten = "".join(f"| `{name}` | `{example}` | {of} | {purpose(*fields[name])} |\n" for name, example, of in TEN)
    parts, told = [INTRODUCTION + ten + RULES], set[str]()
    for title, note, kind in SECTIONS:
        rows = [row(kind, name) for name in kind.model_fields if variable(kind, name) not in told]
        told |= {variable(kind, name) for name in kind.model_fields if kind is not Setup}
        head = "| variable | default | takes | for |\n|---|---|---|---|\n"
        parts.append(f"## {title}\n\n{note}\n\n{head}" + "".join(rows))
    return "\n".join(parts)


def row(kind: type[Settings], name: str) -> str:
    """One variable."""
    form = takes(kind, name).replace("|", "\\|")
    return f"| `{variable(kind, name)}` | {default(kind, name)} | {form} | {purpose(kind, name)} |\n"


def purpose(kind: type[Settings], name: str) -> str:
    """What a setting is for."""
    return str(kind.model_fields[name].description)


def default(kind: type[Settings], name: str) -> str:
    """A default as the page shows it."""
    value = kind.model_fields[name].default
    if value is PydanticUndefined:
        return "**required**"
    return f"`{shown}`" if (shown := reading.shown_default(value)) else "-"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"{PAGE} written\n")
