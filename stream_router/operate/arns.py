"""ARNs: parsed, and built for the resources of a deployment; and the names of the queues that `setup` makes."""

from typing import NamedTuple

from stream_router.errors import SettingsError


class Arn(NamedTuple):
    """Parts of an ARN; `resource` is everything after the fifth colon."""

    partition: str
    service: str
    region: str
    account: str
    resource: str


def parse(text: str, variable: str) -> Arn:
    """Return the parts of the ARN in `text`.

    Raises SettingsError, which names the setting `variable`, if the text is not an ARN.
    """
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or not parts[2] or not parts[5]:
        raise SettingsError(variable, "is not an ARN", "an ARN looks like arn:aws:sqs:us-east-1:123456789012:name")
    return Arn(*parts[1:])


class Home(NamedTuple):
    """Partition, region and account of this deployment."""

    partition: str
    region: str
    account: str

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource in this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def queue(self, name: str) -> str:
        """Return the ARN of an SQS queue."""
        return self.arn("sqs", name)

    def queue_url(self, name: str) -> str:
        """Return the URL of an SQS queue of this account at AWS."""
        domain = "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"
        return f"https://sqs.{self.region}.{domain}/{self.account}/{name}"

    def queue_arn(self, url: str) -> str:
        """Return the ARN of the queue that a URL or a bare name stands for.

        A URL ends with account and name; a bare name is of a queue of this account.
        """
        account, name = url.split("/")[-2:] if "/" in url else (self.account, url)
        return f"arn:{self.partition}:sqs:{self.region}:{account}:{name}"

    def stream(self, name: str) -> str:
        """Return the ARN of a Kinesis stream."""
        return self.arn("kinesis", f"stream/{name}")

    def table(self, name: str) -> str:
        """Return the ARN of a DynamoDB table."""
        return self.arn("dynamodb", f"table/{name}")

    def bus(self, bus: str) -> str:
        """Return the ARN of a bus that is given by its name or its ARN."""
        return bus if bus.startswith("arn:") else self.arn("events", f"event-bus/{bus}")

    def rule(self, bus: str, name: str) -> str:
        """Return the ARN of a rule on a bus that is given by its name or ARN."""
        # A rule belongs to the account of its bus. ARNs of rules on the default bus leave out the bus's name.
        head, _, bus_name = self.bus(bus).rpartition(":event-bus/")
        path = name if bus_name == "default" else f"{bus_name}/{name}"
        return f"{head}:rule/{path}"

    def subscriber(self, bus: str, name: str) -> str:
        """Return the ARN pattern of the subscribers of that name on a v2 bus.

        Each ARN ends with an id of its own.
        """
        return f"{bus.partition(':event-busv2/')[0]}:subscriber/{name}/*"

    def contains(self, arn: Arn) -> bool:
        """Return whether a resource is in this account and region."""
        return (arn.region, arn.account) == (self.region, self.account)


def is_made_by_setup(bus: str) -> bool:
    """Return whether `setup` makes this classic bus if it does not exist.

    It makes neither the default bus nor a bus that is named by its ARN.
    """
    return bus != "default" and not bus.startswith("arn:")


def dead_letters_name(stream: str) -> str:
    """Return the name that `setup` gives our dead-letter queue."""
    return f"{stream}-dead-letters"


def undelivered_name(stream: str) -> str:
    """Return the name that `setup` gives EventBridge's own dead-letter queue of the target."""
    return f"{stream}-undelivered"


def bus_undelivered_name(stream: str) -> str:
    """Return the name of the dead-letter queue that `setup` gives a bus under a customer's key."""
    return f"{stream}-bus-undelivered"
