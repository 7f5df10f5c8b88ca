"""What the operators' commands read besides: `setup`, `dlq`, `mask`, `audit`, `top`, `cxone`."""

from pathlib import Path
from typing import Literal

from pydantic import SecretStr, ValidationInfo, field_validator

from stream_router.settings import types
from stream_router.settings.common import NO_RULE, Common, Settings, as_in, setting
from stream_router.settings.consumer import Consumer
from stream_router.settings.receiver import Receiver
from stream_router.settings.types import DropTypes, EventTypes, HostPort, QueueUrl, Secret, Tags, UrlForCredentials


class Queue(Settings):
    """The dead-letter queue where it is known, and the key under which `setup` puts all that it makes."""

    sqs_dlq_url: QueueUrl | None = setting(
        None, "the dead-letter queue's URL", "the dead-letter queue", variable="SQS_DLQ_URL"
    )
    kms_key: str | None = setting(
        None,
        "the ARN of a KMS key: arn:aws:kms:REGION:ACCOUNT:key/ID",
        "encrypts all that `setup` makes; without it AWS's own keys do",
        pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]{1,128}$",
    )


class Setup(Queue, Common):
    """What `setup` needs."""

    target_arn: str | None = setting(
        None,
        "the ARN of the rule's target",
        "what `setup` attaches to the rule",
        variable="EVENTBRIDGE_TARGET_ARN",
        pattern=r"^arn:\S+$",
    )
    target_dlq_arn: str | None = setting(
        None,
        "the ARN of an SQS queue",
        "EventBridge's own dead letters of the target; else `<stream>-undelivered`",
        pattern=r"^arn:\S+$",
    )
    target_file: Path | None = setting(
        None,
        "path of a JSON file with a target as PutTargets takes it",
        "the target's further fields: `RetryPolicy`, `RoleArn`, `InputTransformer` …; its ARN may stand there too",
        variable="EVENTBRIDGE_TARGET_FILE",
    )
    buckets: int = as_in(Receiver, "buckets")
    shards: int = setting(2, "shards of a new stream, 1 to 10000", "of a stream that `setup` makes", ge=1, le=10_000)
    tags: Tags = setting(
        "", "key=value,…, as AWS takes tags", "on all that `setup` makes, beside its own tag `stream-router-setup`"
    )

    @field_validator("kms_key")
    @classmethod
    def _is_of_this_region(cls, key: str | None, info: ValidationInfo) -> str | None:
        """Neither stream nor queue could use another's."""
        if key and key.split(":")[3] != info.data.get("aws_region", key.split(":")[3]):
            raise ValueError("is not in AWS_REGION; name a key of this region")
        return key

    @field_validator("rule")
    @classmethod
    def _is_a_rule(cls, rule: str) -> str:
        if rule == NO_RULE:
            raise ValueError("is none, so there is no rule for `setup` to make; name it, or run no `setup`")
        return rule

    @property
    def tag_map(self) -> dict[str, str]:
        """The operator's tags."""
        return types.tags(self.tags)


class DeadLetters(Consumer):
    """What `dlq` needs: what the consumer reads, and where EventBridge's own dead letters go."""

    target_dlq_arn: str | None = as_in(Setup, "target_dlq_arn")


class Mask(Settings):
    """What `mask` needs: key and shapes alone, so that a policy can be tried on any machine."""

    config: Path | None = as_in(Common, "config")
    masking_key: Secret | None = as_in(Consumer, "masking_key")


class AuditKey(Settings):
    """The audit chain's key alone: an auditor needs no other setting, and takes the key as it was."""

    audit_key: Secret | None = as_in(Consumer, "audit_key")


class Top(Settings):
    """What `top` needs: where the admin ports of this machine are, and the token that they ask for."""

    admin_listen: HostPort = as_in(Consumer, "admin_listen")
    receiver_admin_listen: HostPort = as_in(Receiver, "receiver_admin_listen")
    admin_token: Secret | None = as_in(Consumer, "admin_token")

    @property
    def urls(self) -> tuple[str, str]:
        """The admin ports of the consumer and the receiver of these settings, seen from their own host."""
        return types.own_url(self.admin_listen), types.own_url(self.receiver_admin_listen)

    @property
    def token(self) -> str:
        """The bearer token, "" where there is none."""
        return self.secret("admin_token")


class Cxone(Settings):
    """What the CXone client needs."""

    client_id: str | None = setting(
        None, "the CXone client's id", "OAuth2 client credentials", variable="CXONE_CLIENT_ID"
    )
    client_secret: Secret | None = setting(
        None, "the CXone client's secret", "OAuth2 client credentials", variable="CXONE_CLIENT_SECRET"
    )
    access_key_id: str | None = setting(
        None,
        "the id of a CXone user's access key",
        "a user's access key, alone or with a client (docs/cxone.md)",
        variable="CXONE_ACCESS_KEY_ID",
    )
    access_key_secret: Secret | None = setting(
        None, "the secret of that access key", "a user's access key", variable="CXONE_ACCESS_KEY_SECRET"
    )
    auth_url: UrlForCredentials | None = setting(
        None, "the token endpoint's URL", "the token endpoint; else it is discovered", variable="CXONE_AUTH_URL"
    )
    issuer: UrlForCredentials = setting(
        "https://cxone.niceincontact.com",
        "the URL where CXone's discovery documents are",
        "where the token endpoint is looked up",
        variable="CXONE_ISSUER",
    )
    scope: str = setting(
        "integration:read webhook:read",
        "the scopes to ask for, separated by spaces",
        "the scopes of client credentials",
        variable="CXONE_SCOPE",
    )
    ca_bundle: Path | None = setting(
        None,
        "a PEM file of CA certificates; SSL_CERT_FILE and SSL_CERT_DIR come first",
        "whom `cxone` trusts instead of the public CAs; boto3 reads it too",
        variable="AWS_CA_BUNDLE",
    )
    ssl_cert_file: Path | None = setting(
        None, "a PEM file of CA certificates", "the same for `cxone` alone, and first", variable="SSL_CERT_FILE"
    )
    ssl_cert_dir: Path | None = setting(
        None,
        "a folder of CA certificates, named by their hashes",
        "the same as a folder, where there is no such file",
        variable="SSL_CERT_DIR",
    )
    event_types: EventTypes = as_in(Common, "event_types")
    drop_types: DropTypes = as_in(Consumer, "drop_types")
    unroutable: Literal["dead-letter", "publish", "drop"] = as_in(Consumer, "unroutable")
    stream: str = as_in(Common, "stream")
    config: Path | None = as_in(Common, "config")

    @field_validator("client_id", "client_secret", "access_key_id", "access_key_secret", mode="before")
    @classmethod
    def _without_last_line_break(cls, value: object) -> object:
        """A secret that comes from a file has one at its end more often than not."""
        return value.rstrip("\r\n") if isinstance(value, str) else value

    @property
    def scopes_asked(self) -> frozenset[str]:
        """The scopes that a token ought to have. An access key asks for none, unless CXONE_SCOPE is set."""
        if self.access_key_id is not None and "scope" not in self.model_fields_set:
            return frozenset()
        return frozenset(self.scope.split())

    @property
    def certificates(self) -> Path | None:
        """The CA bundle to use; None where httpx finds its own (SSL_CERT_FILE, SSL_CERT_DIR or those it brings)."""
        return None if self.ssl_cert_file or self.ssl_cert_dir else self.ca_bundle

    @field_validator("client_secret", "access_key_secret")
    @classmethod
    def _has_an_id(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """A client or an access key, each with its secret."""
        name = str(info.field_name).removesuffix("_secret")
        if not {f"{name}_id", "client_id"} <= info.data.keys():
            return secret  # the id is wrong itself
        identity = info.data[f"{name}_id"]
        pair = f"set CXONE_{name.upper()}_ID and CXONE_{name.upper()}_SECRET together"
        if secret is None and identity is not None:
            raise ValueError(f"is not set; {pair}")
        if secret is not None and identity is None:
            raise ValueError(f"is set without its id; {pair}")
        if name == "access_key" and identity is None and info.data.get("client_id") is None:
            raise ValueError("is not set, and neither is CXONE_CLIENT_SECRET; set either, each with its id")
        return secret
