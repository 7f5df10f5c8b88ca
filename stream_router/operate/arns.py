"""ARNs: taken apart, and built for what `setup` makes; and how it calls the queues that it makes."""

from typing import NamedTuple

from stream_router.errors import SettingsError


class Arn(NamedTuple):
    """The parts of an ARN; `resource` is all after the fifth colon."""

    partition: str
    service: str
    region: str
    account: str
    resource: str


def parse(text: str, variable: str) -> Arn:
    """Take apart the ARN that a setting holds. Raises SettingsError where it is none."""
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or not parts[2] or not parts[5]:
        raise SettingsError(f"{variable}: is no ARN; an ARN looks like arn:aws:sqs:us-east-1:123456789012:name")
    return Arn(*parts[1:])


class Home(NamedTuple):
    """Where we are: what every ARN of ours begins with."""

    partition: str
    region: str
    account: str

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of something here."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def queue(self, name: str) -> str:
        """Return the ARN of an SQS queue."""
        return self.arn("sqs", name)

    def queue_url(self, name: str) -> str:
        """Return the URL of an SQS queue at AWS."""
        domain = "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"
        return f"https://sqs.{self.region}.{domain}/{self.account}/{name}"

    def queue_of(self, url: str) -> str:
        """Return the ARN of the queue at a URL, which ends with account and name; or of a bare name."""
        account, name = url.split("/")[-2:] if "/" in url else (self.account, url)
        return f"arn:{self.partition}:sqs:{self.region}:{account}:{name}"

    def stream(self, name: str) -> str:
        """Return the ARN of a Kinesis stream."""
        return self.arn("kinesis", f"stream/{name}")

    def table(self, name: str) -> str:
        """Return the ARN of a DynamoDB table."""
        return self.arn("dynamodb", f"table/{name}")

    def bus(self, bus: str) -> str:
        """Return the ARN of a bus by its name, or by its ARN."""
        return bus if bus.startswith("arn:") else self.arn("events", f"event-bus/{bus}")

    def rule(self, bus: str, name: str) -> str:
        """Return the ARN of a rule on a bus, by the bus's name or ARN: a rule is in the account of its bus."""
        head, _, of = self.bus(bus).rpartition(":event-bus/")
        return f"{head}:rule/{name if of == 'default' else f'{of}/{name}'}"

    def subscriber(self, bus: str, name: str) -> str:
        """Return the ARNs of the subscribers of that name on a v2 bus; each has an id of its own at the end."""
        return f"{bus.partition(':event-busv2/')[0]}:subscriber/{name}/*"

    def owns(self, arn: Arn) -> bool:
        """Whether a resource is in this account and region."""
        return (arn.region, arn.account) == (self.region, self.account)


def is_made(bus: str) -> bool:
    """Return whether `setup` makes a classic bus of this name: not the default one, nor one named by its ARN."""
    return bus != "default" and not bus.startswith("arn:")


def dead_letters_name(stream: str) -> str:
    """How `setup` calls our dead-letter queue."""
    return f"{stream}-dead-letters"


def undelivered_name(stream: str) -> str:
    """How it calls EventBridge's own dead-letter queue of the target."""
    return f"{stream}-undelivered"


def bus_undelivered_name(stream: str) -> str:
    """Return the name of the dead-letter queue that `setup` gives a bus under a customer's key."""
    return f"{stream}-bus-undelivered"
