"""What must not be a definite no before the daemon starts. The event bus has a prover of its own."""

from collections.abc import Callable, Sequence
from pathlib import Path

from botocore.session import Session

from stream_router.checks import aws_checks
from stream_router.checks import jvm as jvm_check
from stream_router.checks.finding import Finding
from stream_router.settings.consumer import Consumer


def all_of(settings: Consumer, session: Session, jvm: Path, jvm_options: Sequence[str]) -> list[Callable[[], Finding]]:
    """The checks of `consume`, in the order in which they are made."""
    bucket = settings.offload_bucket
    return [
        lambda: jvm_check.starts(jvm, jvm_options),
        lambda: aws_checks.stream(session, settings.stream),
        lambda: aws_checks.dead_letter_queue(session, settings.sqs_dlq_url, settings.aws_region),
        *([lambda: aws_checks.offload_bucket(session, bucket)] if bucket else []),
        lambda: aws_checks.lease_table(session, settings.application, settings.stream, note=True),
    ]
