"""Properties of the KCL daemon: a file of `properties/`, with the values that the settings decide."""

import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.session import Session

from stream_router.aws.endpoints import create_client
from stream_router.consumer.supervisor import jars
from stream_router.errors import SettingsError
from stream_router.settings import files
from stream_router.settings.consumer import Consumer
from stream_router.settings.types import is_loopback_host

CHILD_VARIABLE = "STREAM_ROUTER_CHILD"
"""Variable with the path of the Python that runs the children, since the daemon splits its command at every space."""

CHILD_COMMAND = f'/bin/sh -c trap\t""\tTERM\t&&\texec\t"${{{CHILD_VARIABLE}}}"\t-m\tstream_router.consumer.child'
"""Command that the daemon starts for each shard.

The daemon splits it at spaces and knows no quotes, so the shell's words are separated by tabs, and the interpreter's
path comes from the environment. `exec` makes the child itself the JVM's child process. SIGTERM is ignored until the
child handles it: if a child dies during its start, the daemon waits for its whole grace period.
"""


_OWN_ENDPOINTS = Config(ignore_configured_endpoint_urls=True)  # type: ignore[call-arg] # unknown to the stubs
"""Configuration with which botocore ignores endpoints of the environment and the profile."""

REQUIRED_PROPERTIES: dict[str, str | None] = {
    # In an empty callback the child checkpoints records that were settled and checked meanwhile. Without it the last
    # records before a pause would stay above the checkpoint, and be read again after a crash.
    "callProcessRecordsEvenForEmptyRecordList": "true",
    # The KCL would ask Kinesis whether each checkpoint's sequence number exists. Ours are numbers that the daemon
    # delivered, so the call only costs quota and time.
    "validateSequenceNumberBeforeCheckpointing": "false",
    # Otherwise the KCL asks Kinesis about the shard at a batch, and skips the batch if no answer comes: the next
    # checkpoint passes records that no child received (`ProcessTask`'s constructor, KCL 3.5.1). The answer only serves
    # to drop records that a KPL producer aggregated before a reshard.
    "skipShardSyncAtWorkerInitializationIfLeasesExist": "true",
    # Must not be set: a child whose window is full during an outage is healthy, but the daemon would halt the whole
    # JVM because of it.
    "timeoutInSeconds": None,
}
"""Properties with the only values at which no record is lost. A file may not set others; None: it must not be set."""

FIRST_POSITION = ("initialPositionInStream", "TRIM_HORIZON")
"""Property and value for the first position of a new application: the oldest record of the stream.

The KCL's default is LATEST, which skips the records before the first lease. A file may instead set
`initialPositionInStreamExtended`, a time; if both are set, it is undefined which one the KCL takes.
"""

POINT_IN_TIME_RECOVERY = "leaseTablePitrEnabled"
"""Property that makes the KCL call UpdateContinuousBackups at each start, and fail without that permission."""

FURTHER_NAMES = ("streamArn", "tableName", "workerIdentifier", "kinesisEndpoint", "dynamoDBEndpoint")
"""Other names for stream, lease table, worker and endpoints (`MultiLangDaemonConfiguration` 3.1.3).

A stream's ARN takes precedence over its name, and AWS's own sample file has an ARN.
"""


class Rendered(NamedTuple):
    """The daemon's properties, and the JVM's options that belong to them."""

    source: Path
    properties: dict[str, str]
    jvm_options: list[str]

    @property
    def grace_s(self) -> float:
        """Seconds for which the daemon may drain. Raises SettingsError if the file sets them to no number."""
        grace_ms = self.properties.get("shutdownGraceMillis", "5000")  # the KCL's own default
        if not grace_ms.isdecimal():
            raise SettingsError(
                "STREAM_ROUTER_PROPERTIES", f"{self.source} sets shutdownGraceMillis to no number", "set milliseconds"
            )
        return int(grace_ms) / 1000

    @property
    def failover_s(self) -> float:
        """Seconds without a renewal after which another worker takes a lease; 10 if the file sets no number."""
        failover_ms = self.properties.get("failoverTimeMillis", "")
        return int(failover_ms) / 1000 if failover_ms.isdecimal() else 10.0

    @property
    def protects_lease_table(self) -> bool:
        """Whether the file wants the lease table protected from deletion."""
        return self._value("leaseTableDeletionProtectionEnabled").lower() == "true"

    @property
    def begins_at_trim_horizon(self) -> bool:
        """Whether the daemon begins a new application at the oldest record that the stream has."""
        name, value = FIRST_POSITION
        return self._value(name) == value and not self._value("initialPositionInStreamExtended")

    @property
    def max_leases(self) -> int | None:
        """The number of leases that a worker may hold; None if the file sets no number."""
        number = self._value("maxLeasesForWorker")
        return int(number) if number.isdecimal() else None

    def _value(self, name: str) -> str:
        """Return a property's value, "" if it is not set. The KCL takes a name with a capital first letter too."""
        return next((value for key, value in self.properties.items() if key.lower() == name.lower()), "")

    def text(self) -> str:
        """Return the properties as Java reads them: ISO 8859-1, everything else escaped."""
        return "".join(f"{key} = {_escape(value)}\n" for key, value in self.properties.items())


class Endpoints(NamedTuple):
    """Endpoints that the environment or the profile sets; "" for AWS's own."""

    kinesis: str
    dynamodb: str

    @property
    def is_local(self) -> bool:
        """Whether Kinesis is on this machine, so that it can only be an emulator."""
        return is_loopback_host(urlsplit(self.kinesis).hostname or "")


def configured_endpoints(session: Session) -> Endpoints:
    """Return the endpoints that boto3 would take from `AWS_ENDPOINT_URL*` or from the profile."""
    return Endpoints(_configured_endpoint(session, "kinesis"), _configured_endpoint(session, "dynamodb"))


def _configured_endpoint(session: Session, service: str) -> str:
    """Return the endpoint that is configured for a service; "" if it is AWS's own, or none is configured."""
    url = str(create_client(session, service).meta.endpoint_url)
    own = create_client(session, service, _OWN_ENDPOINTS).meta.endpoint_url
    return "" if url == own else url


def shipped(name: str) -> Path:
    """Return a file of `properties/` in the checkout or the installation. Raise SettingsError if it is missing."""
    for folder in _folders():
        if os.path.isfile(folder / name):  # noqa: PTH113 - as in `jars.shares`
            return folder / name
    raise SettingsError(
        "STREAM_ROUTER_PROPERTIES", f"{name} was not installed", "reinstall, or name a file of your own"
    )


def _folders() -> Iterator[Path]:
    """Yield a checkout's own folder, then those in which pip puts a wheel's data."""
    beside = Path(__file__).resolve().parents[3]
    if (beside / "setup.cfg").is_file():
        yield beside / "properties"
    yield from jars.shares()


def render(settings: Consumer, addresses: Endpoints, worker_id: str) -> Rendered:
    """Return the daemon's properties and the JVM's options. `worker_id` names this host's worker in the lease table.

    The properties begin with those of the file that `STREAM_ROUTER_PROPERTIES` names. Without this setting the file is
    consumer.properties; if Kinesis is an emulator on this machine, local.properties then replaces some of its values.
    A file must not set what the settings decide. Raises SettingsError if it does, or sets a value that is not allowed.
    """
    source, of_file = _files(settings.properties, is_local=addresses.is_local)
    decided = _from_settings(settings, addresses, worker_id)
    of_settings = {key.lower() for key in (*decided.keys() - REQUIRED_PROPERTIES.keys(), *FURTHER_NAMES)}
    if clash := sorted(key for key in of_file if key.lower() in of_settings):
        raise SettingsError(
            "STREAM_ROUTER_PROPERTIES", f"{source} sets {clash[0]}", "leave it out, the settings decide it"
        )
    _refuse_other_than_the_programs(source, of_file)
    _refuse_point_in_time_recovery(source, of_file)
    daemon = {key: value for key, value in of_file.items() if not key.startswith("jvm.")}
    name, position = FIRST_POSITION
    if not any(key.lower().startswith(name.lower()) for key in daemon):
        daemon[name] = position
    further = _words(settings.jvm_options, "STREAM_ROUTER_JVM_OPTIONS")
    return Rendered(source, {**daemon, **decided}, [*_jvm_options(of_file), *further])


def _files(own: Path | None, *, is_local: bool) -> tuple[Path, dict[str, str]]:
    """Return the last file read, and the properties of all files read. The operator's own file replaces all of ours."""
    if own:
        return own, _read(own)
    base = shipped("consumer.properties")
    if not is_local:
        return base, _read(base)
    overlay = shipped("local.properties")
    return overlay, {**_read(base), **_read(overlay)}


def _read(file: Path) -> dict[str, str]:
    try:
        return parse(files.read_text(file))
    except (OSError, UnicodeDecodeError) as error:
        why = files.describe_failure(error)
        raise SettingsError(
            "STREAM_ROUTER_PROPERTIES", f"{file} cannot be read ({why})", "name a properties file"
        ) from None


def _refuse_other_than_the_programs(source: Path, of_file: Mapping[str, str]) -> None:
    """Raise SettingsError if the file sets one of REQUIRED_PROPERTIES to another value than the required one."""
    programs = {name.lower(): (name, value) for name, value in REQUIRED_PROPERTIES.items()}
    for key, value in of_file.items():
        # The KCL takes a name with a capital first letter too. No value equals None, so a property that must not be set
        # is refused with any value.
        name, right = programs.get(key.lower(), ("", None))
        if name and value.lower() != right:
            raise SettingsError(
                "STREAM_ROUTER_PROPERTIES", f"{source} sets {name} to a value that could lose events", "leave it out"
            )


def _refuse_point_in_time_recovery(source: Path, of_file: Mapping[str, str]) -> None:
    """Raise SettingsError if the file turns on the property of POINT_IN_TIME_RECOVERY."""
    for key, value in of_file.items():
        if key.lower() == POINT_IN_TIME_RECOVERY.lower() and value.lower() == "true":
            raise SettingsError(
                "STREAM_ROUTER_PROPERTIES",
                (f"{source} sets {key}, for which the KCL would need dynamodb:UpdateContinuousBackups at each start"),
                "leave it out, and turn it on at the table itself",
            )


def _from_settings(settings: Consumer, addresses: Endpoints, worker_id: str) -> dict[str, str]:
    """Return the properties that the settings and this program decide, among them REQUIRED_PROPERTIES."""
    properties = {
        "executableName": CHILD_COMMAND,
        "processingLanguage": f"python/{sys.version_info.major}.{sys.version_info.minor}",
        "streamName": settings.stream,
        "applicationName": settings.application,
        "regionName": settings.aws_region,
        "workerId": worker_id,
        **{name: value for name, value in REQUIRED_PROPERTIES.items() if value is not None},
    }
    if addresses.kinesis:
        properties["kinesisEndpoint"] = addresses.kinesis
    if addresses.dynamodb:
        properties["dynamoDBEndpoint"] = addresses.dynamodb
    return properties


def _jvm_options(of_file: Mapping[str, str]) -> list[str]:
    """Return the JVM's options by the file (`jvm.options`, each `jvm.system.NAME`), and those for UTF-8 everywhere."""
    system = [
        f"-D{key.removeprefix('jvm.system.')}={value}"
        for key, value in of_file.items()
        if key.startswith("jvm.system.")
    ]
    utf8 = ["-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-Dstderr.encoding=UTF-8"]
    return [*utf8, *system, *_words(of_file.get("jvm.options", ""), "STREAM_ROUTER_PROPERTIES")]


def _words(options: str, variable: str) -> list[str]:
    """Return the options, split as a shell would split them. Raise SettingsError, for `variable`, if that fails."""
    try:
        return shlex.split(options)
    except ValueError:
        raise SettingsError(variable, "JVM options with an open quote or a lone backslash", "close it") from None


def parse(text: str) -> dict[str, str]:
    """Return the `key = value` lines of a properties file, without comments and empty lines.

    Continuation lines are not supported. Raises SettingsError if a line has another form.
    """
    pairs: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip()[0] in "#!":
            continue
        key, separator, value = (part.strip() for part in line.partition("="))
        if not separator or not key:
            raise SettingsError(
                "STREAM_ROUTER_PROPERTIES", "a line is not of the form `key = value`", "correct the file"
            )
        pairs[key] = value
    return pairs


def _escape(value: str) -> str:
    """Return a value as a properties file writes it, where a backslash begins an escape."""
    escaped = value.replace("\\", "\\\\").replace("\t", "\\t")
    return re.sub(r"[^\x20-\x7e]", _java_unicode, escaped)


def _java_unicode(match: re.Match[str]) -> str:
    """Return a character as Java's escape \\uXXXX; as two of them if it needs two UTF-16 units."""
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
