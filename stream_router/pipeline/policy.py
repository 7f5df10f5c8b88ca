"""Reads a masking policy (TOML) and compiles it. What is wrong with it is found at start, with the key named."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from stream_router.pipeline import actions, detect, toml_file
from stream_router.pipeline.mask import ROOTS, Find, Policy, Rule
from stream_router.pipeline.paths import tokens
from stream_router.pipeline.toml_file import Checked
from stream_router.settings import SettingsError

VARIABLE = "STREAM_ROUTER_MASKING"
KEY_VARIABLE = "STREAM_ROUTER_MASKING_KEY"
KEY_MIN_BYTES = 16
"""A key that can be guessed makes the hash of a phone number readable again."""

SHIPPED = Path(__file__).parent.parent / "policies"


def _pattern(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("is no path pattern")  # noqa: TRY004 - pydantic's way
    steps = tokens(value)
    if isinstance(steps[0], str) and steps[0] not in {root.lower() for root in ROOTS}:
        raise ValueError(f"begins with none of {', '.join(ROOTS)}, * or **")
    return steps


Pattern = Annotated[Any, BeforeValidator(_pattern)]


class RuleTable(Checked):
    """`paths` and what is done to what they lead to."""

    paths: tuple[Pattern, ...] = Field(min_length=1)
    action: Literal["keep", "remove", "redact", "keep_last", "hmac", "truncate", "detect"]
    plain_only: bool = False
    n: int | None = Field(None, ge=1, le=10_000)
    detectors: tuple[str, ...] = tuple(detect.DETECTORS)
    engine: Literal["builtin", "presidio"] = "builtin"
    language: str = Field("en", pattern=r"^[a-z]{2}$")

    @model_validator(mode="after")
    def _complete(self) -> "RuleTable":
        if (self.n is not None) != (self.action in ("keep_last", "truncate")):
            raise ValueError("`n` goes with keep_last and truncate, and they need it")
        if self.action != "detect" and self.model_fields_set & {"detectors", "engine", "language"}:
            raise ValueError("`detectors`, `engine` and `language` go with detect")
        if self.engine == "builtin" and (unknown := set(self.detectors) - set(detect.DETECTORS)):
            raise ValueError(f"{len(unknown)} of `detectors` are none of {', '.join(detect.DETECTORS)}")
        return self


class HmacTable(Checked):
    """Which key `hmac` uses; the key itself is in STREAM_ROUTER_MASKING_KEY."""

    key_id: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,32}$")


class Document(Checked):
    """The whole file."""

    id: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    version: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,32}$")
    allow: tuple[Pattern, ...] | None = None
    mask_dead_letters: bool = False
    hmac: HmacTable | None = None
    rules: tuple[RuleTable, ...] = ()


def load(name: str, key: bytes | None) -> Policy | None:
    """The policy that the setting names: `off` (None), `default`, or a file's path.

    `key` is the HMAC's, where there is one. Raises SettingsError, naming the failing key.
    """
    if name == "off":
        return None
    path = SHIPPED / f"{name}.toml" if name == "default" else Path(name)
    document = toml_file.read(path, VARIABLE, Document)
    rules = [
        rule
        for at, table in enumerate(document.rules)
        for rule in _rules(table, document.hmac, key, f"{VARIABLE}: {path}: rules[{at}]")
    ]
    if not rules and document.allow is None:
        raise SettingsError(f"{VARIABLE}: {path}: rules: there are none, so nothing would be masked; add one")
    policy = Policy(
        document.id,
        document.version,
        rules,
        allow=document.allow,
        mask_dead_letters=document.mask_dead_letters,
    )
    for part in ("payload", "extensions"):
        if any(rule.action is not None and not rule.plain_only for rule in policy.top_step(part)):
            problem = f"a path covers {part} as a whole, which must stay an object; write {part}.** instead"
            raise SettingsError(f"{VARIABLE}: {path}: rules: {problem}")
    return policy


def _rules(table: RuleTable, hmac: HmacTable | None, key: bytes | None, where: str) -> list[Rule]:
    if table.action == "detect":
        find = _find(table, where)
        paths = table.paths if table.plain_only else map(_without_trailing_deep, table.paths)
        return [Rule("detect", path, find=find, plain_only=table.plain_only) for path in paths]
    action = _action(table, hmac, key, where)
    return [Rule(table.action, path, action, plain_only=table.plain_only) for path in table.paths]


def _without_trailing_deep(path: tuple[object, ...]) -> tuple[object, ...]:
    """A search covers all that is below its path anyhow; so `payload.**` is `payload`."""
    return path[:-2] if path[-2:] == tokens("**") and len(path) > 2 else path


def _action(table: RuleTable, hmac: HmacTable | None, key: bytes | None, where: str) -> actions.Action | None:
    if table.action == "hmac":
        if hmac is None:
            raise SettingsError(f"{where}.action: hmac needs a key's name; add [hmac] with key_id")
        if key is None:
            raise SettingsError(f"{KEY_VARIABLE}: is not set, but the policy hashes values; set it to a secret key")
        if len(key) < KEY_MIN_BYTES:
            raise SettingsError(f"{KEY_VARIABLE}: is shorter than {KEY_MIN_BYTES} bytes; choose a longer key")
        return actions.keyed_hash(key, hmac.key_id)
    count = table.n or 0
    made: Mapping[str, actions.Action | None] = {
        "keep": None,
        "remove": actions.remove,
        "redact": actions.redact,
        "keep_last": actions.keep_last(count),
        "truncate": actions.truncate(count),
    }
    return made[table.action]


def _find(table: RuleTable, where: str) -> Find:
    if table.engine == "presidio":
        from stream_router.pipeline import presidio

        return presidio.finder(table.detectors if "detectors" in table.model_fields_set else (), table.language, where)
    return detect.finder(table.detectors)
