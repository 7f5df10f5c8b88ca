"""ARNs: taken apart, and built for what setup makes."""

from typing import NamedTuple

from stream_router.control.setup.steps import WrongSettingError


class Arn(NamedTuple):
    """The parts of an ARN; `resource` is all after the fifth colon."""

    partition: str
    service: str
    region: str
    account: str
    resource: str


def parse(text: str, variable: str) -> Arn:
    """Take apart the ARN that a setting holds. Raises WrongSettingError where it is none."""
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or not parts[2] or not parts[5]:
        raise WrongSettingError(f"{variable}: is no ARN; an ARN looks like arn:aws:sqs:us-east-1:123456789012:name")
    return Arn(*parts[1:])


class Home(NamedTuple):
    """Where we are: what every ARN of ours begins with."""

    partition: str
    region: str
    account: str

    def queue(self, name: str) -> str:
        """The ARN of an SQS queue."""
        return f"arn:{self.partition}:sqs:{self.region}:{self.account}:{name}"

    def rule(self, bus: str, name: str) -> str:
        """The ARN of a rule on the bus of that name."""
        path = name if bus == "default" else f"{bus}/{name}"
        return f"arn:{self.partition}:events:{self.region}:{self.account}:rule/{path}"

    def owns(self, arn: Arn) -> bool:
        """Whether a resource is in this account and region."""
        return (arn.region, arn.account) == (self.region, self.account)
