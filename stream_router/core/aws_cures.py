"""What an operator does where AWS refuses everything with this code: the end of a line in the log."""

from stream_router.core.aws_error_codes import THROTTLING

_BY_START = (
    (
        ("AccessDenied", "NotAuthorized", "KMSAccessDenied", "KmsAccessDenied"),
        "grant it (stream-router setup --policy)",
    ),
    (("Expired", "Unrecognized", "InvalidClientToken", "InvalidAccessKey", "MissingAuth"), "renew the credentials"),
    (("NoAnswer", "TimedOut", "RequestTimeout"), "check the network, the endpoint (AWS_ENDPOINT_URL) and TLS"),
    (
        ("InvalidSignature", "IncompleteSignature", "SignatureDoesNotMatch", "Request"),
        "check this host's clock and the secret key",
    ),
    (("ResourceNotFound",), "make it anew with stream-router setup"),
    # `setup` verifies the queue that SQS_DLQ_URL names, and makes one only where it names none.
    (("QueueDoesNotExist", "AWS.SimpleQueueService"), "make it anew: unset SQS_DLQ_URL, then stream-router setup"),
    (("InvalidAccountId",), "correct the ARN of STREAM_ROUTER_EVENT_BUS"),
    (("KMS", "Kms"), "enable the key in KMS, or set another"),
    (("NoSuchBucket", "PermanentRedirect", "AuthorizationHeader"), "name a bucket of AWS_REGION that exists"),
)
_OWN = "it mends itself, or AWS's health page says more"


def cure(code: str) -> str:
    """A few words for a code of AWS's, or one of our own where there was no answer."""
    if code in THROTTLING:
        return "raise the quota, or send less (STREAM_ROUTER_MAX_SHARD_RATE)"
    return next((words for starts, words in _BY_START if code.startswith(starts)), _OWN)
