"""Writes docs/configuration.md from the settings themselves: `python tools/configuration.py` (or `make docs`).

What each variable takes and its default come from the code; what it is for stands here.
"""

import sys
from pathlib import Path

import asked

from stream_router.settings import reading
from stream_router.settings.common import GuardedSettings, Settings, allowed_values, variable
from stream_router.settings.consumer import Consumer
from stream_router.settings.operators import Cxone, Setup
from stream_router.settings.receiver import Receiver

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

INTRODUCTION = """# Configuration

## The ten that a first deployment needs

Decide on `STREAM_ROUTER_MASKING` too: it is off. `setup` prints `SQS_DLQ_URL`.

| variable | for example |
|---|---|
"""

TEN = (
    ("AWS_REGION", "eu-central-1"),
    ("EVENTBRIDGE_TARGET_ARN", "arn:aws:lambda:eu-central-1:123456789012:function:my-function"),
    ("SQS_DLQ_URL", "https://sqs.eu-central-1.amazonaws.com/123456789012/cxone-events-dead-letters"),
    ("STREAM_ROUTER_WEBHOOK_SCHEME", "hmac"),
    ("STREAM_ROUTER_WEBHOOK_SECRETS", "file:/etc/stream-router/secrets"),
    ("STREAM_ROUTER_LISTEN", "0.0.0.0:8443"),
    ("STREAM_ROUTER_TLS_CERT", "/etc/stream-router/cert.pem"),
    ("STREAM_ROUTER_TLS_KEY", "/etc/stream-router/key.pem"),
    ("STREAM_ROUTER_SPILL_DIR", "/var/lib/stream-router/spill"),
    ("STREAM_ROUTER_STATE_DIR", "/var/lib/stream-router/consumer"),
)
"""Promised (docs/contract.md, "Settings"): the page begins with them."""

RULES = """
## How settings are read

Every setting is an environment variable, read once, at start. Bad values end the program with exit status 78 before
anything starts. Each gets a line: the variable, what is wrong, the cure. `stream-router config` prints the settings in
force and their origin.

* An empty value counts as not set. A path that begins with `~`, and a value in quotes, are refused.
* An unknown name that begins with `STREAM_ROUTER_` is refused, since a mistyped setting would do nothing.
  Kubernetes' own names for a Service called `stream-router` are ignored.
* A secret (`STREAM_ROUTER_WEBHOOK_SECRETS`, `_MASKING_KEY`, `_AUDIT_KEY`, `_ADMIN_TOKEN`, `CXONE_CLIENT_SECRET`)
  may be given as `file:PATH`, `secretsmanager:ARN` or `ssm:NAME`. In a file each secret is a line; empty lines and
  lines that begin with `#` are ignored. In Secrets Manager store the plain secret: any JSON document is refused. The
  receiver follows changes of its webhook secrets; every other secret is read at start. If other users can read a
  secret's file, the program logs a warning at start (`secret-exposed`).
* AWS's own variables work as in boto3: credentials, `AWS_PROFILE`, `AWS_CA_BUNDLE`, `AWS_ENDPOINT_URL` and
  `AWS_ENDPOINT_URL_KINESIS`, `_DYNAMODB`, `_EVENTBRIDGE`, `_SQS`, `_CLOUDWATCH`, `_S3`. The region is `AWS_REGION`,
  else `AWS_DEFAULT_REGION`, else the profile's; botocore must list it unless an endpoint is set.
* The KCL's daemon uses Java's own credentials chain. That chain does not support profiles with a sign-in (IAM
  Identity Center, `aws login`), so `consume` refuses them. Use a profile with `credential_process = aws configure
  export-credentials --profile THAT_ONE`. Java does not read `AWS_CA_BUNDLE`: give it a trust store with
  `STREAM_ROUTER_JVM_OPTIONS=-Djavax.net.ssl.trustStore=FILE`.
"""

SECTIONS: tuple[tuple[str, type[Settings]], ...] = (
    ("Everywhere", GuardedSettings),
    ("The receiver", Receiver),
    ("The consumer", Consumer),
    ("Setup", Setup),
    ("CXone", Cxone),
)


FOR = {
    "AWS_REGION": "the region of all AWS resources",
    "STREAM_ROUTER_STREAM": "the Kinesis stream",
    "STREAM_ROUTER_APPLICATION": "the KCL application, and its lease table",
    "STREAM_ROUTER_EVENT_BUS": "the event bus; for a v2 bus its ARN",
    "STREAM_ROUTER_RULE": (
        "the rule that must take our events: while it does not, `consume` holds; `none`: only the bus is checked"
    ),
    "STREAM_ROUTER_EVENT_TYPES": "the event types that the rule matches",
    "STREAM_ROUTER_CONFIG": ("shapes (docs/events.md), event sources (docs/cxone.md)"),
    "STREAM_ROUTER_LOG_LEVEL": "how much is logged",
    "STREAM_ROUTER_LOG_FORMAT": "`auto`: text on a terminal, else JSON",
    "STREAM_ROUTER_WEAK_SECRETS": "whether to accept secrets under 16 bytes, and texts that only name a secret",
    "STREAM_ROUTER_ADMIN_HOSTS": (
        "further host names that the admin ports answer, besides addresses, localhost and the host of their setting"
    ),
    "STREAM_ROUTER_LISTEN": "where events and health are served",
    "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": "the receiver's admin port",
    "STREAM_ROUTER_ADMIN_TOKEN": "the token of both admin ports; required beyond loopback",
    "STREAM_ROUTER_TLS_CERT": "the TLS certificate",
    "STREAM_ROUTER_TLS_KEY": "the TLS key",
    "STREAM_ROUTER_TLS_CLIENT_CA": "requires senders to have a certificate of this CA (mTLS)",
    "STREAM_ROUTER_TRUSTED_PROXIES": (
        "proxies whose X-Forwarded-For names the client; `bearer` and `basic` then need no TLS of ours"
    ),
    "STREAM_ROUTER_WEBHOOK_SCHEME": "how a sender is verified (docs/receiver.md); `none` on loopback only",
    "STREAM_ROUTER_WEBHOOK_SECRETS": "the secrets, all live at once, for rotation; changes of a file take effect",
    "STREAM_ROUTER_HMAC_HEADER": "scheme `hmac`: the signature's header",
    "STREAM_ROUTER_HMAC_ALGORITHM": "scheme `hmac`: the hash of the signature",
    "STREAM_ROUTER_HMAC_ENCODING": "scheme `hmac`: how the signature is written",
    "STREAM_ROUTER_HMAC_PREFIX": "scheme `hmac`: the prefix of the signature, for example `sha256=`",
    "STREAM_ROUTER_HMAC_TEMPLATE": "scheme `hmac`: the signed text",
    "STREAM_ROUTER_HMAC_TIMESTAMP_HEADER": "scheme `hmac`: the header of the sender's time (epoch seconds)",
    "STREAM_ROUTER_HMAC_ID_HEADER": "scheme `hmac`: the header of the delivery id",
    "STREAM_ROUTER_REPLAY_WINDOW_S": (
        "seconds that a signed time may be off, either way; an unsigned id is remembered for twice that"
    ),
    "STREAM_ROUTER_MAX_BODY_BYTES": "the largest body; by default each event fits a dead letter",
    "STREAM_ROUTER_MAX_HELD_BYTES": "accepted bytes in memory; above it the answer is 503",
    "STREAM_ROUTER_MAX_CONNECTIONS": "connections at once",
    "STREAM_ROUTER_MAX_CLIENT_CONNECTIONS": "connections of one unknown address (default: half of all)",
    "STREAM_ROUTER_REUSE_PORT": "several receivers of one host share the port",
    "STREAM_ROUTER_DRAIN_DELAY_S": "seconds of serving after SIGTERM, while `/readyz` is 503",
    "STREAM_ROUTER_BUCKETS": "partition groups, each on one shard: a multiple of the number of shards",
    "STREAM_ROUTER_PARTITION_PATH": "which field of an event names its conversation",
    "STREAM_ROUTER_SPILL_DIR": "where events wait while the stream is down; without it or a spill queue: 503",
    "STREAM_ROUTER_SPILL_MAX_BYTES": "the largest spill on disk",
    "STREAM_ROUTER_SPILL_QUEUE": "an SQS queue in which events wait while the stream is down, for hosts without a disk",
    "SQS_DLQ_URL": "the dead-letter queue",
    "STREAM_ROUTER_UNROUTABLE": "the handling of a type that the rule does not take",
    "STREAM_ROUTER_DROP_TYPES": "types that are dropped and counted; our names or the sender's",
    "STREAM_ROUTER_MAX_ENTRIES": "entries per call, at most the bus's limit (classic 10, v2 100)",
    "STREAM_ROUTER_MAX_SHARD_RATE": "maximum events a second of one shard",
    "STREAM_ROUTER_MAX_RETRIES": "retries of one entry that fails while others succeed, over at least 30 s",
    "STREAM_ROUTER_CHECKPOINT_S": "seconds between checkpoints, and between target checks while events flow",
    "STREAM_ROUTER_BUS_PROOF": ("`trust`: neither bus nor rule is checked"),
    "STREAM_ROUTER_ON_OUTAGE": "while AWS is down: hold the shard, or dead-letter events",
    "STREAM_ROUTER_ORDERING": "whether events of a conversation are accepted in the stream's order",
    "STREAM_ROUTER_MASKING": "the masking policy",
    "STREAM_ROUTER_MASKING_KEY": "key of the hashes by which masked events can be joined",
    "STREAM_ROUTER_OFFLOAD_BUCKET": "the S3 bucket for payloads that are too large",
    "STREAM_ROUTER_ADMIN_LISTEN": "the consumer's admin port, with the web page",
    "STREAM_ROUTER_AUDIT_DIR": "the folder of the audit files, one per shard",
    "STREAM_ROUTER_AUDIT_KEY": "makes the audit chain an HMAC",
    "STREAM_ROUTER_STATE_DIR": ("state that must survive a crash; without it a private temporary folder"),
    "STREAM_ROUTER_WORKER": (
        "the worker's name, if the platform gives a stable one; otherwise kept in the state folder"
    ),
    "STREAM_ROUTER_PROPERTIES": "KCL properties in place of the shipped ones",
    "STREAM_ROUTER_JVM_OPTIONS": "further options of the daemon's JVM, for example `-Xmx1g`",
    "STREAM_ROUTER_KMS_KEY": "the key of everything that `setup` creates; without it AWS's own keys",
    "EVENTBRIDGE_TARGET_ARN": "the target that `setup` attaches to the rule",
    "STREAM_ROUTER_TARGET_DLQ_ARN": "the queue of EventBridge's own dead letters; else `<stream>-undelivered`",
    "EVENTBRIDGE_TARGET_FILE": ("the target's fields, JSON as PutTargets takes it: `RetryPolicy`, `RoleArn` …"),
    "STREAM_ROUTER_SHARDS": "shards of a stream that `setup` creates",
    "STREAM_ROUTER_TAGS": "tags of the lease table and everything that `setup` creates, besides `stream-router-setup`",
    "CXONE_CLIENT_ID": "OAuth2 client credentials: the client (docs/cxone.md)",
    "CXONE_CLIENT_SECRET": "OAuth2 client credentials: its secret",
    "CXONE_AUTH_URL": "the token endpoint; else it is discovered",
    "AWS_CA_BUNDLE": "the CAs that `cxone` trusts, after the next two",
    "SSL_CERT_FILE": "the same for `cxone` only, with precedence",
    "SSL_CERT_DIR": "the same as a folder",
}
"""What each setting is for, in the order in which its page lists them."""


def page() -> str:
    """The page's text."""
    ten = "".join(f"| `{name}` | `{example}` |\n" for name, example in TEN)
    parts, reported = [INTRODUCTION + ten + RULES], set[str]()
    for title, kind in SECTIONS:
        rows = [row(kind, name) for name in kind.model_fields if variable(kind, name) not in reported]
        reported |= {variable(kind, name) for name in kind.model_fields if kind is not Setup}
        head = "| variable, and its default | takes | for |\n|---|---|---|\n"
        parts.append(f"## {title}\n\n{head}" + "".join(rows))
    return "\n".join(parts)


SHORT = {
    "the secret, file:PATH, secretsmanager:ARN or ssm:NAME": "a secret",
    "comma-separated secrets, file:PATH, secretsmanager:ARN or ssm:NAME": "secrets",
    "path of a PEM file": "a PEM file",
    "path of a folder that can be written to": "a folder",
    "event types with commas between, each of 1 to 128 characters": "event types",
    "a queue's URL (standard, not FIFO); `stream-router setup` makes one": "a standard queue's URL",
}
"""What a setting takes, in the page's own words where the message to whom it is wrong needs more."""


def row(kind: type[Settings], name: str) -> str:
    """One variable."""
    form = allowed_values(kind, name)
    form = SHORT.get(form, form).replace("|", "\\|")
    shown = f"`{variable(kind, name)}`" + f": {default(kind, name)}".removesuffix(": -")
    return f"| {shown} | {form} | {FOR[variable(kind, name)]} |\n"


def default(kind: type[Settings], name: str) -> str:
    """A default as the page shows it."""
    if kind.model_fields[name].is_required():
        return "**required**"
    return f"`{shown}`" if (shown := reading.default_text(kind, name)) else "-"


if __name__ == "__main__":
    asked.for_help(__doc__)
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"{PAGE} written\n")
