"""Reading of the environment: settings of a program, unknown names, and the settings in force.

No other module reads settings from the environment.

Wrong settings raise SettingsError with a problem for each: the variable, what is wrong with its
value, the cure. Secrets are never quoted. A value of more than MAX_QUOTED_CHARS is not quoted
either: it may be a secret that was put into the wrong variable.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from pydantic import SecretStr, ValidationError

from stream_router.errors import SettingProblem, SettingsError, TemporarySettingsError
from stream_router.process import FAILPOINTS_VARIABLE, arm_failpoints, describe_failpoints
from stream_router.settings import files, sources
from stream_router.settings.common import PREFIX, Settings, allowed_values, is_secret, variable
from stream_router.settings.consumer import Consumer
from stream_router.settings.files import describe_problem, nearest_name
from stream_router.settings.operators import Cxone, Setup
from stream_router.settings.receiver import Receiver
from stream_router.settings.secrets import REFERENCE_PREFIXES, path_of_secret
from stream_router.settings.types import region_of_environment

log = logging.getLogger(__name__)

S = TypeVar("S", bound=Settings)

MAX_QUOTED_CHARS = 12
"""Length of the longest value that a problem quotes, in characters.

A secret has at least 16 (`settings/secrets.py`, MIN_BYTES).
"""

PROGRAMS: dict[str, type[Settings]] = {"receive": Receiver, "consume": Consumer, "setup": Setup, "cxone": Cxone}
"""Programs that together have every setting; other commands read some of these."""


def load(kind: type[S], *checks: Callable[[S], object], **overrides: Any) -> S:
    """Read the settings of one program from the environment, and check them.

    `overrides` replace values of the environment, by field name.

    `checks` test what the settings name, files for example, and raise SettingsError. They run even
    if some settings are wrong, so that all problems are reported at once. Raises SettingsError with
    all problems (exit 78), or TemporarySettingsError (exit 1) if all of them are outages.
    """
    return _read(kind, [*find_unknown(), *_wrong_failpoints()], checks, overrides)


def read(kind: type[S], **overrides: Any) -> S:
    """Read the settings of one program as `load` does, but accept unknown names in the environment."""
    return _read(kind, [], (), overrides)


def _read(
    kind: type[S],
    problems: list[SettingProblem],
    checks: tuple[Callable[[S], object], ...],
    overrides: dict[str, Any],
) -> S:
    """Return the settings. Raises SettingsError with `problems`, and the problems of values and checks."""
    values = {name: text for name in kind.model_fields if (text := os.environ.get(variable(kind, name)))}
    valid_values: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    # A setting under a mistyped name is not reported as missing as well.
    mistyped = {name for problem in problems for name in problem.related}
    try:
        settings = kind.model_validate({**values, **overrides}, context=valid_values)
    except ValidationError as error:
        # The checks need a complete object, so wrong settings get their defaults here. Problems that
        # the checks find with these defaults are left out below.
        for detail in error.errors(include_url=False):
            errors.setdefault(str(detail["loc"][0]), detail)
        fields = {name: kind.model_fields[name] for name in errors}
        defaults = {name: "" if field.is_required() else field.default for name, field in fields.items()}
        settings = cast("S", kind.model_construct(**{**valid_values, **defaults}))
    for name, detail in errors.items():
        if detail["type"] != "missing" or variable(kind, name) not in mistyped:
            problems.append(_describe_value(kind, name, detail))
    wrong_names = {variable(kind, name) for name in errors}
    # TemporarySettingsError (exit 1) asks for another start. That helps only if outages are the only problems.
    is_temporary = not problems
    for check in checks:
        try:
            check(settings)
        except SettingsError as error:
            is_temporary = is_temporary and isinstance(error, TemporarySettingsError)
            problems += [
                problem for problem in error.problems if wrong_names.isdisjoint((problem.setting, *problem.related))
            ]
    if problems:
        error_class = TemporarySettingsError if is_temporary else SettingsError
        raise error_class.of(problems)
    return settings


def _describe_value(kind: type[Settings], name: str, error: Any) -> SettingProblem:
    """Return the problem of a field's value, from pydantic's error.

    A problem without a cure gets the setting's allowed values as its cure.
    """
    setting, value = variable(kind, name), _quote_value(kind, name)
    allowed = f"give {allowed_values(kind, name)}"
    if error["type"] == "missing":
        return SettingProblem(setting, "is not set", allowed)
    problem, cure = describe_problem(error)
    if error["type"] == "literal_error" and value:
        return SettingProblem(setting, f"is {value}", cure)
    return SettingProblem(setting, f"{value} {problem}" if value else problem, cure or allowed)


def _quote_value(kind: type[Settings], name: str) -> str:
    """Return the environment's value in quotes; "" if it may not be shown."""
    value = os.environ.get(variable(kind, name), "")
    is_shown = value and len(value) <= MAX_QUOTED_CHARS and value.isprintable() and not is_secret(kind, name)
    return f"'{value}'" if is_shown else ""


# --- names: an unknown name is refused, since a mistyped setting would have no effect

INTERNAL_VARIABLES = frozenset({"STREAM_ROUTER_CHILD", FAILPOINTS_VARIABLE})
"""Variables that are not settings: one from the supervisor to its children, and the tests' failpoints.

See supervisor/properties.py and docs/proof.md.
"""

KUBERNETES_VARIABLE = re.compile(r"STREAM_ROUTER_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_.*)?|PORT(?:_.*)?)")
"""Variables that Kubernetes sets in every container of a namespace with a Service stream-router or stream-router-*."""


def setting_names() -> frozenset[str]:
    """Return the variables of all settings.

    Every program accepts each, because programs share environments.
    """
    return frozenset(variable(kind, name) for kind in PROGRAMS.values() for name in kind.model_fields)


def find_unknown() -> Iterator[SettingProblem]:
    """Yield a problem for each unknown variable that begins with STREAM_ROUTER_.

    An empty variable counts as unset.
    """
    known = setting_names()
    for name in sorted(name for name, value in os.environ.items() if value and name.upper().startswith(PREFIX)):
        if name not in known | INTERNAL_VARIABLES and not KUBERNETES_VARIABLE.fullmatch(name):
            yield _describe_unknown(name, known)


def find_warnings(settings: Settings | None = None) -> list[SettingProblem]:
    """Return a problem for each accepted setting that has no effect, or probably not the intended one."""
    known = {name for name in setting_names() if name.startswith("CXONE_")}
    cxone = sorted(name for name, value in os.environ.items() if value and name.startswith("CXONE_"))
    unused = settings.find_unused() if isinstance(settings, Receiver) else ()
    return [
        *(_describe_unknown(name, known) for name in cxone if name not in known),
        *unused,
        *_find_unrouted_expert(settings),
    ]


def _find_unrouted_expert(settings: Settings | None) -> Iterator[SettingProblem]:
    """Yield a problem if Expert is a source and only the default event types are routed, none of which is Expert's."""
    if not isinstance(settings, Receiver | Consumer):
        return
    document = sources.read_part(settings.config, sources.Document)
    schemes = {os.environ.get(variable(Receiver, "webhook_scheme"))}
    schemes |= {source.scheme for source in document.cxone.sources if isinstance(source, sources.PostedSource)}
    routes_defaults = settings.event_types == default_text(type(settings), "event_types") and not document.event_types
    dead_letters_others = os.environ.get(variable(Consumer, "unroutable")) in (None, "dead-letter")
    if "expert" in schemes and routes_defaults and dead_letters_others:
        yield SettingProblem(
            variable(Consumer, "event_types"),
            "names none of Expert's event types, so each event of Expert becomes a dead letter (unroutable)",
            "name the types that you subscribe to, for example Page_Create, and run setup (docs/expert.md)",
        )


def find_exposed(settings: Settings) -> Iterator[SettingProblem]:
    """Yield a problem for each file with a secret that other users of this host may read."""
    for name, path in _secret_files(settings):
        if others := files.find_readers(path):
            yield SettingProblem(
                name,
                f"its file {path} holds a secret and may be read by {others}",
                "chmod 600 it, or 640 if its owner is another user (a volume of a Kubernetes Secret: "
                "defaultMode: 0400)",
            )


def _secret_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Yield each file that holds a secret, as its setting and its path."""
    kind = type(settings)
    for name in kind.model_fields:
        value = getattr(settings, name)
        if name == "tls_key" and value is not None:
            yield variable(kind, name), value
        elif isinstance(value, SecretStr) and (path := path_of_secret(value)):
            yield variable(kind, name), path
    if isinstance(settings, Receiver) and settings.config:
        configured = [
            source.secrets for source in sources.read(settings.config) if isinstance(source, sources.PostedSource)
        ]
        secrets = [secret for secret in configured if secret]
        # The config file holds a secret itself unless each of them is a reference.
        if not all(secret.get_secret_value().startswith(REFERENCE_PREFIXES) for secret in secrets):
            yield sources.VARIABLE, settings.config
        yield from ((sources.VARIABLE, path) for secret in secrets if (path := path_of_secret(secret)))


def warn(settings: Settings) -> None:
    """Log at start each problem of `find_warnings` and `find_exposed`, and whether failpoints are armed."""
    for problem in find_warnings(settings):
        log.warning("%s", problem.line(), extra={"event": "setting-unknown"})
    for problem in find_exposed(settings):
        log.warning("%s", problem.line(), extra={"event": "secret-exposed"})
    warn_of_failpoints()


def warn_of_failpoints() -> None:
    """Log a warning if failpoints are armed.

    A child calls only this function, since its supervisor logs the other warnings.
    """
    if armed := describe_failpoints():
        log.warning(
            "failpoints are armed: this process will be killed or stalled on purpose, by a test: %s",
            armed,
            extra={"event": "failpoints-armed"},
        )


def _wrong_failpoints() -> tuple[SettingProblem, ...]:
    """Arm the failpoints that the environment names. Return the problems of a wrong value; () if there are none."""
    try:
        arm_failpoints(os.environ.get(FAILPOINTS_VARIABLE, ""))
    except SettingsError as error:
        return error.problems
    return ()


def _describe_unknown(name: str, known: frozenset[str] | set[str]) -> SettingProblem:
    """Return the problem of an unknown name; `related` holds the nearest known name.

    Names are compared without their prefix, since many names share it.
    """
    settings = {_without_prefix(setting): setting for setting in sorted(known)}
    nearest = nearest_name(_without_prefix(name.upper()), settings)
    related = (settings[nearest],) if nearest else ()
    cure = f"did you mean {settings[nearest]}?" if nearest else "unset it; `stream-router config` lists the known ones"
    return SettingProblem(name, "is not a setting of this version, so it would have no effect", cure, related=related)


def _without_prefix(name: str) -> str:
    return re.sub("^(?:STREAM_ROUTER|EVENTBRIDGE|CXONE)_", "", name)


# --- settings in force: every setting of a program, its value and its source

ENVIRONMENT, DEFAULT, UNSET = "environment", "default", "not set"

BOTO3_VARIABLES = ("AWS_PROFILE", "AWS_CA_BUNDLE")
"""Variables of boto3 that are shown as well, like the endpoints: they decide where every call goes."""

_USER_IN_URL = re.compile(r"(?<=://)[^/?#\s]*@")


class SettingRow(NamedTuple):
    """A setting with its value and its source. The value of a secret is hidden."""

    variable: str
    value: str
    source: str


def list_settings(kind: type[Settings]) -> Iterator[SettingRow]:
    """Yield every setting of a program, valid or not."""
    for name in kind.model_fields:
        setting = variable(kind, name)
        if value := os.environ.get(setting):
            yield SettingRow(setting, _hide_secret(value) if is_secret(kind, name) else hide_users(value), ENVIRONMENT)
        elif default := default_text(kind, name):
            yield SettingRow(setting, default, DEFAULT)
        elif name == "aws_region":
            yield _region_from_elsewhere(setting)
        else:
            yield SettingRow(setting, "", UNSET)


def _region_from_elsewhere(setting: str) -> SettingRow:
    """Return the row of the region if AWS_REGION is not set."""
    try:
        return SettingRow(setting, region_of_environment(), "AWS_DEFAULT_REGION, or the profile")
    except ValueError:
        return SettingRow(setting, "", UNSET)


def list_aws_settings() -> list[SettingRow]:
    """Return boto3's own settings in the environment (BOTO3_VARIABLES and endpoints), without credentials."""
    names = [name for name in sorted(os.environ) if name in BOTO3_VARIABLES or name.startswith("AWS_ENDPOINT_URL")]
    return [SettingRow(name, hide_users(os.environ[name]), ENVIRONMENT) for name in names]


def is_set(*variables: str) -> bool:
    """Return whether any of these variables is set and not empty."""
    return any(os.environ.get(name) for name in variables)


def hide_users(text: str) -> str:
    """Return the text with user and password of each URL hidden."""
    return _USER_IN_URL.sub("(hidden)@", text)


def default_text(kind: type[Settings], name: str) -> str:
    """Return a setting's default as text; "" if it has none."""
    field = kind.model_fields[name]
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    if value is None or field.is_required():
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _hide_secret(secret: str) -> str:
    """Return "(hidden)", or the reference if the secret is stored elsewhere."""
    if not secret.startswith(REFERENCE_PREFIXES):
        return "(hidden)"
    reference, comma, _ = secret.partition(",")
    # Text after a comma may be a secret itself.
    return f"{reference},(hidden)" if comma else reference
