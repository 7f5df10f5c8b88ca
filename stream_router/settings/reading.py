"""How the environment is read, which names of it are settings, and what is in force. Nothing else reads settings.

What is wrong raises SettingsError, whose text is a line for each wrong setting: the variable, its value, what is wrong
with it, the cure. Secrets are never quoted. A value of more than MAX_QUOTED_CHARS is not quoted either: it may be a
secret that was put into the wrong variable.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from pydantic import SecretStr, ValidationError

from stream_router.errors import NotNowError, SettingsError
from stream_router.process import FAILPOINTS_VARIABLE, arm_failpoints, failpoints_in_force
from stream_router.settings import files, sources
from stream_router.settings.common import PREFIX, Settings, is_secret, takes, variable
from stream_router.settings.consumer import Consumer
from stream_router.settings.files import in_words, near
from stream_router.settings.operators import Cxone, Setup
from stream_router.settings.receiver import Receiver
from stream_router.settings.secrets import READ_ELSEWHERE, in_path
from stream_router.settings.types import region_of_environment

log = logging.getLogger(__name__)

S = TypeVar("S", bound=Settings)

MAX_QUOTED_CHARS = 12
"""Characters of a value that a line quotes. A secret has at least 16 (`settings/secrets.py`, LEAST_BYTES)."""

PROGRAMS: dict[str, type[Settings]] = {"receive": Receiver, "consume": Consumer, "setup": Setup, "cxone": Cxone}
"""Whose settings are every one that there is: other commands read some of these."""


def load(kind: type[S], *checks: Callable[[S], object], **overrides: Any) -> S:
    """Read and check the environment for one program; `given` wins over it (by field name).

    `checks` are of what the settings name, files for example; each raises SettingsError. All that is wrong is said at
    once: where a setting is wrong, they look at the others. Raises SettingsError with the lines to show, and exit 78.
    """
    return _read(kind, [*unknown(), *_wrong_failpoints()], checks, overrides)


def read(kind: type[S], **overrides: Any) -> S:
    """Read the settings, whatever unknown names there are."""
    return _read(kind, [], (), overrides)


def _read(kind: type[S], lines: list[str], checks: tuple[Callable[[S], object], ...], overrides: dict[str, Any]) -> S:
    values = {name: text for name in kind.model_fields if (text := os.environ.get(variable(kind, name)))}
    good: dict[str, Any] = {}
    wrong: dict[str, Any] = {}
    mistyped = " ".join(lines)  # what is there under a mistyped name is not missing
    try:
        settings = kind.model_validate({**values, **overrides}, context=good)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            wrong.setdefault(str(detail["loc"][0]), detail)
        fields = {name: kind.model_fields[name] for name in wrong}
        defaults = {name: "" if field.is_required() else field.default for name, field in fields.items()}
        settings = cast("S", kind.model_construct(**{**good, **defaults}))
    for name, detail in wrong.items():
        if detail["type"] != "missing" or variable(kind, name) not in mistyped:
            lines.append(_line(kind, name, detail))
    named = [variable(kind, name) for name in wrong]
    not_now = not lines
    for check in checks:
        try:
            check(settings)
        except SettingsError as error:
            not_now = not_now and isinstance(error, NotNowError)
            lines += [line for line in str(error).splitlines() if not any(name in line for name in named)]
    if lines:
        raise (NotNowError if not_now else SettingsError)("\n".join(dict.fromkeys(lines)))
    return settings


def _line(kind: type[Settings], name: str, error: Any) -> str:
    """Return `VARIABLE: 'value' problem; cure`. If the problem brings no cure, the cure is what the setting takes."""
    problem = {"missing": "is not set"}.get(error["type"]) or in_words(error)
    cure = "" if "; " in problem else f"; give {takes(kind, name)}"
    return f"{variable(kind, name)}: {_quoted(kind, name)}{problem}{cure}"


def _quoted(kind: type[Settings], name: str) -> str:
    """Return the value that the environment holds, in quotes and with a blank; "" for what a line may not show."""
    value = os.environ.get(variable(kind, name), "")
    is_shown = value and len(value) <= MAX_QUOTED_CHARS and value.isprintable() and not is_secret(kind, name)
    return f"'{value}' " if is_shown else ""


# --- names: one that no program knows is refused, since a typo would be ignored

OURS = frozenset({"STREAM_ROUTER_CHILD", FAILPOINTS_VARIABLE})
"""Names that our own programs hand to those that they start (supervisor/properties.py),
and the one that is for tests alone (docs/proof.md).
"""

OF_KUBERNETES = re.compile(r"STREAM_ROUTER_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_.*)?|PORT(?:_.*)?)")
"""Kubernetes puts such names into every container beside a Service called stream-router, or stream-router-anything."""


def names() -> frozenset[str]:
    """Every setting. Known to one program is known to all: they share environments."""
    return frozenset(variable(kind, name) for kind in PROGRAMS.values() for name in kind.model_fields)


def unknown() -> Iterator[str]:
    """Yield a line for each unknown name that looks like one of ours; what is empty is not set."""
    known = names()
    for name in sorted(name for name, value in os.environ.items() if value and name.upper().startswith(PREFIX)):
        if name not in known | OURS and not OF_KUBERNETES.fullmatch(name):
            yield _not_known(name, known)


def warnings(settings: Settings | None = None) -> list[str]:
    """Return a line for each setting without effect that is not refused: other tools' names, another scheme's."""
    known = {name for name in names() if name.startswith("CXONE_")}
    cxone = sorted(name for name, value in os.environ.items() if value and name.startswith("CXONE_"))
    left_over = settings.left_over() if isinstance(settings, Receiver) else ()
    return [*(_not_known(name, known) for name in cxone if name not in known), *left_over, *_expert_unnamed(settings)]


def _expert_unnamed(settings: Settings | None) -> Iterator[str]:
    """Return a line if Expert sends here and only the default types, none of which is Expert's, are routed."""
    if not isinstance(settings, Receiver | Consumer):
        return
    document = sources.read_part(settings.config, sources.Document)
    schemes = {os.environ.get(variable(Receiver, "webhook_scheme"))}
    schemes |= {source.scheme for source in document.cxone.sources if isinstance(source, sources.PostedSource)}
    is_default = settings.event_types == default(type(settings), "event_types") and not document.event_types
    if "expert" in schemes and is_default and os.environ.get(variable(Consumer, "unroutable")) in (None, "dead-letter"):
        yield (
            f"{variable(Consumer, 'event_types')}: names none of Expert's event types, so each event of Expert becomes "
            "a dead letter (unroutable); name those that you subscribe to, for example Page_Create, and run setup "
            "(docs/expert.md)"
        )


def exposed(settings: Settings) -> Iterator[str]:
    """Return a line for each file with a secret that other users of this host may read."""
    for name, path in _secret_files(settings):
        if others := files.readers(path):
            yield (
                f"{name}: its file {path} may be read by {others}, and a secret is in it; chmod 600 it, or 640 if its "
                "owner is another user (a volume of a Kubernetes Secret: defaultMode: 0400)"
            )


def _secret_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Return each file that holds a secret, with its setting."""
    kind = type(settings)
    for name in kind.model_fields:
        value = getattr(settings, name)
        if name == "tls_key" and value is not None:
            yield variable(kind, name), value
        elif isinstance(value, SecretStr) and (path := in_path(value)):
            yield variable(kind, name), path
    if isinstance(settings, Receiver) and settings.config:
        configured = [
            source.secrets for source in sources.read(settings.config) if isinstance(source, sources.PostedSource)
        ]
        secrets = [secret for secret in configured if secret]
        if not all(secret.get_secret_value().startswith(READ_ELSEWHERE) for secret in secrets):
            yield sources.VARIABLE, settings.config
        yield from ((sources.VARIABLE, path) for secret in secrets if (path := in_path(secret)))


def warn(settings: Settings) -> None:
    """Log at start what `warnings` and `exposed` find, and that failpoints are armed, which nobody may miss."""
    for line in warnings(settings):
        log.warning("%s", line, extra={"event": "setting-unknown"})
    for line in exposed(settings):
        log.warning("%s", line, extra={"event": "secret-exposed"})
    warn_of_failpoints()


def warn_of_failpoints() -> None:
    """Log that failpoints are armed: of a child, whose supervisor has said the rest."""
    if armed := failpoints_in_force():
        log.warning(
            "failpoints are armed: this process is to be killed or stalled on purpose, by a test: %s",
            armed,
            extra={"event": "failpoints-armed"},
        )


def _wrong_failpoints() -> Iterator[str]:
    try:
        arm_failpoints(os.environ.get(FAILPOINTS_VARIABLE, ""))
    except SettingsError as error:
        yield str(error)


def _not_known(name: str, known: frozenset[str] | set[str]) -> str:
    """Return the problem and the cure: the nearest known name, compared without the beginning that many names share."""
    ends = {_end(setting): setting for setting in sorted(known)}
    nearest = near(_end(name.upper()), ends)
    cure = (
        f"did you mean {ends[nearest]}?" if nearest else "unset it; `stream-router config` lists those that are known"
    )
    return f"{name}: is no setting that this version knows, so it would do nothing; {cure}"


def _end(name: str) -> str:
    return re.sub("^(?:STREAM_ROUTER|EVENTBRIDGE|CXONE)_", "", name)


# --- what is in force: every setting of a program, its value and where it came from

ENVIRONMENT, DEFAULT, UNSET = "environment", "default", "not set"

OF_AWS = ("AWS_PROFILE", "AWS_CA_BUNDLE")
"""Shown as well, with the endpoints: boto3 reads them, and they decide where everything goes."""

_USER_IN_A_URL = re.compile(r"(?<=://)[^/?#\s]*@")


class SettingRow(NamedTuple):
    """One setting; the value of a secret is hidden."""

    variable: str
    value: str
    source: str


def rows(kind: type[Settings]) -> Iterator[SettingRow]:
    """Every setting of a program, right or wrong."""
    for name in kind.model_fields:
        shown = variable(kind, name)
        if set_value := os.environ.get(shown):
            yield SettingRow(
                shown, _hidden(set_value) if is_secret(kind, name) else users_hidden(set_value), ENVIRONMENT
            )
        elif value := default(kind, name):
            yield SettingRow(shown, value, DEFAULT)
        elif name == "aws_region":
            yield _region_from_elsewhere(shown)
        else:
            yield SettingRow(shown, "", UNSET)


def _region_from_elsewhere(shown: str) -> SettingRow:
    try:
        return SettingRow(shown, region_of_environment(), "AWS_DEFAULT_REGION, or the profile")
    except ValueError:
        return SettingRow(shown, "", UNSET)


def of_aws() -> list[SettingRow]:
    """Return what of boto3's own settings the environment holds; no credentials."""
    shown = [name for name in sorted(os.environ) if name in OF_AWS or name.startswith("AWS_ENDPOINT_URL")]
    return [SettingRow(name, users_hidden(os.environ[name]), ENVIRONMENT) for name in shown]


def is_set(*variables: str) -> bool:
    """Whether the environment holds any of these, not empty."""
    return any(os.environ.get(name) for name in variables)


def users_hidden(text: str) -> str:
    """Return the text with each user (and so each password) in its URLs hidden: no setting has a use for one."""
    return _USER_IN_A_URL.sub("(hidden)@", text)


def default(kind: type[Settings], name: str) -> str:
    """Return a setting's default as text; "" if there is none."""
    field = kind.model_fields[name]
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    if value is None or field.is_required():
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _hidden(secret: str) -> str:
    """Where it stands is shown; what was written behind that, after a comma, may be another secret."""
    if not secret.startswith(READ_ELSEWHERE):
        return "(hidden)"
    where, comma, _ = secret.partition(",")
    return where + comma + "(hidden)" * len(comma)
