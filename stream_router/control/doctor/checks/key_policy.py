"""Whether EventBridge may use a KMS key, by the key's own policy."""

from botocore.exceptions import BotoCoreError, ClientError

from stream_router.control.doctor.checks.iam_policy import lets_in
from stream_router.control.doctor.world import World

ACTIONS = ("kms:GenerateDataKey", "kms:Decrypt")
"""What a bus under a key takes, and what SQS and SNS ask of whoever sends to a queue or a topic under one.

Sources: EventBridge's user guide, "Authorizing EventBridge to use a customer managed key"; SQS's, "Key management".
"""


def trouble(world: World, key: str | None, source_arn: str) -> tuple[str, str]:
    """Why EventBridge may not use the key for what is at `source_arn`, and the cure; both "" where it may.

    A key that AWS keeps can be opened to nobody. A policy that may not be read is taken to be right.
    """
    if not key:
        return "", ""
    if "alias/aws/" in key:
        alias = key[key.index("alias/") :]
        return f"is under {alias}, which EventBridge may not use", "encrypt it with SQS's own key, or with one of yours"
    if closed := [one for one in ACTIONS if not _lets_in(world, key, one, source_arn)]:
        cure = f"let events.amazonaws.com use {', '.join(closed)} in the policy of {key}"
        return "is under a key that is closed to EventBridge", cure
    return "", ""


def _lets_in(world: World, key: str, action: str, source_arn: str) -> bool:
    kms = world.client("kms")
    try:
        read = world.once(f"policy of {key}", lambda: kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    except (ClientError, BotoCoreError):
        return True
    return lets_in(read, action, source_arn)
