"""What `setup` puts on all it makes: the tag by which `teardown` knows it, the operator's tags, a customer's key."""

from collections.abc import Mapping
from typing import NamedTuple

TAG = "stream-router-setup"
"""The key of our own tag; its value is the stream, so that two deployments in an account are told apart."""


class Marks(NamedTuple):
    """Tags and key of what one deployment makes. `further` are the operator's tags, `key` is a KMS key's ARN."""

    stream: str
    further: Mapping[str, str]
    key: str | None = None

    @property
    def tags(self) -> dict[str, str]:
        """Every tag."""
        return {TAG: self.stream, **self.further}

    @property
    def as_list(self) -> list[dict[str, str]]:
        """The same as EventBridge takes them."""
        return [{"Key": key, "Value": value} for key, value in self.tags.items()]

    def ours(self, has: Mapping[str, str]) -> bool:
        """Whether this deployment's `setup` made what has these tags."""
        return has.get(TAG) == self.stream

    def missing(self, has: Mapping[str, str]) -> dict[str, str]:
        """The operator's tags that something of ours lacks, or has otherwise; what is not ours is left as it is."""
        if not self.ours(has):
            return {}
        return {key: value for key, value in self.further.items() if has.get(key) != value}


def from_list(listed: list[dict[str, str]]) -> dict[str, str]:
    """Tags as EventBridge and Kinesis list them, as a mapping."""
    return {tag["Key"]: tag.get("Value", "") for tag in listed}


def told(tags: Mapping[str, str]) -> str:
    """Tags as a line shows them."""
    return ", ".join(f"{key}={value}" for key, value in tags.items())
