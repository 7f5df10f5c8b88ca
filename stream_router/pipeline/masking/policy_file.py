"""Reads a masking policy (TOML) and compiles it. What is wrong with it is found at start, with the key named."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from stream_router.errors import SettingsError
from stream_router.pipeline.masking import actions
from stream_router.pipeline.masking.detectors import finder
from stream_router.pipeline.masking.detectors.phones.regions import is_country
from stream_router.pipeline.masking.path_patterns import DEEP, ELEMENT, State, tokens
from stream_router.pipeline.masking.policy import ROOTS, MaskingPolicy
from stream_router.pipeline.masking.rules import MaskRule
from stream_router.pipeline.masking.trace import Find
from stream_router.settings import files
from stream_router.settings.files import Checked

VARIABLE = "STREAM_ROUTER_MASKING"
KEY_VARIABLE = "STREAM_ROUTER_MASKING_KEY"
REGIONS_VARIABLE = "STREAM_ROUTER_MASKING_REGIONS"
KEY_MIN_BYTES = 16
"""A key that can be guessed makes the hash of a phone number readable again."""

OBJECTS = ("payload", "extensions")
"""The parts that are objects; the others are texts, or null."""

SHIPPED = Path(__file__).parent / "policies"
SHIPPED_NAMES = ("default", "strict")


def _pattern(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("is no path pattern")  # noqa: TRY004 - pydantic's way
    steps = tokens(value)
    if isinstance(steps[0], str) and steps[0] not in {root.lower() for root in ROOTS}:
        raise ValueError(f"begins with none of {', '.join(ROOTS)}, * or **")
    return steps


Pattern = Annotated[Any, BeforeValidator(_pattern)]


_NO_COUNTRY = "is no country that libphonenumber knows (two capitals, as DE; the United Kingdom is GB)"


def _region(value: str) -> str:
    """In a country that libphonenumber does not know no number is valid, so a slip would find nothing, unsaid."""
    if not is_country(value):
        raise ValueError(_NO_COUNTRY)
    return value


Region = Annotated[str, AfterValidator(_region)]


class RuleTable(Checked):
    """`paths` and what is done to what they lead to."""

    paths: tuple[Pattern, ...] = Field(min_length=1)
    action: Literal["keep", "pass", "remove", "redact", "keep_last", "hmac", "truncate", "detect"]
    plain_only: bool = False
    booleans: bool = True
    numbers_only: bool = False
    n: int | None = Field(None, ge=1, le=10_000)
    detectors: tuple[str, ...] = tuple(finder.DETECTORS)
    engine: Literal["builtin", "presidio"] = "builtin"
    language: str = Field("en", pattern=r"^[a-z]{2}$")

    @model_validator(mode="after")
    def _complete(self) -> "RuleTable":
        if (self.n is not None) != (self.action in ("keep_last", "truncate")):
            raise ValueError("`n` goes with keep_last and truncate, and they need it")
        if self.numbers_only and self.action != "keep_last":
            raise ValueError("`numbers_only` goes with keep_last")
        if self.action != "detect" and self.model_fields_set & {"engine", "language"}:
            raise ValueError("`engine` and `language` go with detect")
        if self.action not in ("detect", "pass") and "detectors" in self.model_fields_set:
            raise ValueError("`detectors` go with detect and pass")
        if self.engine == "builtin" and not self.detectors:
            raise ValueError("`detectors` is empty, so nothing would be found")
        if self.engine == "builtin" and (unknown := set(self.detectors) - set(finder.DETECTORS)):
            raise ValueError(f"{len(unknown)} of `detectors` are none of {', '.join(finder.DETECTORS)}")
        return self


class HmacTable(Checked):
    """Which key `hmac` uses; the key itself is in STREAM_ROUTER_MASKING_KEY."""

    key_id: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,32}$")


class PolicyFile(Checked):
    """The whole file. `then` names a shipped policy whose masking rules come after this one's own."""

    id: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    version: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,32}$")
    allow: tuple[Pattern, ...] | None = None
    mask_dead_letters: bool = False
    unknown: Literal["pass", "detect", "redact"] = "pass"
    then: Literal["default", "strict"] | None = None
    regions: tuple[Region, ...] = ()
    hmac: HmacTable | None = None
    rules: tuple[RuleTable, ...] = ()


def load(name: str, key: bytes | None, regions: Sequence[str] = ()) -> MaskingPolicy:
    """The policy that the setting names: `default`, `strict`, or a file's path.

    `key` is the HMAC's, where there is one; `regions` are expected besides those that the policy names. Raises
    SettingsError, naming the failing key.
    """
    path = SHIPPED / f"{name}.toml" if name in SHIPPED_NAMES else Path(name)
    document = _expecting(files.read_toml(path, VARIABLE, PolicyFile, "default, strict or "), regions)
    rules = [
        rule
        for at, table in enumerate(_with_then(document))
        for rule in _rules(table, document, key, f"{VARIABLE}: {path}: rules[{at}]")
    ]
    for at, allowed in enumerate(document.allow or ()):
        _check_reach(allowed, f"{VARIABLE}: {path}: allow[{at}]")
    policy = MaskingPolicy(
        document.id,
        document.version,
        rules,
        allow=document.allow,
        mask_dead_letters=document.mask_dead_letters,
        closed=document.unknown == "redact",
        search_unknown=finder.finder(tuple(finder.DETECTORS), document.regions)
        if document.unknown == "detect"
        else None,
    )
    passes = document.unknown == "pass" and document.then is None
    if passes and all(table.action in ("keep", "pass") for table in document.rules) and _all_pass(policy.allowed):
        raise SettingsError(f"{VARIABLE}: {path}: rules: none masks anything; add one that does, or set off")
    for part in OBJECTS:
        if any(rule.action is not None and not rule.plain_only for rule in policy.top_step(part)):
            problem = f"a path covers {part} as a whole, which must stay an object; write {part}.** instead"
            raise SettingsError(f"{VARIABLE}: {path}: rules: {problem}")
    return policy


def _expecting(document: PolicyFile, regions: Sequence[str]) -> PolicyFile:
    """The file with further regions. Raises SettingsError where one is none."""
    if not all(map(is_country, regions)):
        raise SettingsError(f"{REGIONS_VARIABLE}: one of them {_NO_COUNTRY}; correct it")
    return document.model_copy(update={"regions": tuple(dict.fromkeys((*document.regions, *regions)))})


def _check_reach(path: tuple[object, ...], where: str, *, plain_only: bool = False) -> None:
    """Raises SettingsError for a path that leads to nothing in any event: no part is an array, some are texts."""
    first, below = path[0], path[1:]
    into_array = first is ELEMENT or (first is not DEEP and below[:1] == (ELEMENT,))
    into_text = isinstance(first, str) and first not in OBJECTS and below
    if into_array or into_text or (plain_only and path in {(part,) for part in OBJECTS}):
        problem = f"can lead to nothing: {' and '.join(OBJECTS)} are objects, the ids texts"
        raise SettingsError(f"{where}: {problem}; correct this path")


def _all_pass(allowed: State | None) -> bool:
    """Whether a list of what may pass, if there is one, leaves nothing out of any event."""
    if allowed is None:
        return True
    steps = [allowed.keys[part] for part in OBJECTS]
    return all(step.ends or (step.below and step.below.unnamed.ends) for step in steps)


def _with_then(document: PolicyFile) -> tuple[RuleTable, ...]:
    """The file's rules, and behind them those of the shipped policy that it names, but for what lets pass.

    A search lets pass what it does not find: more than where what no rule names is redacted, else less.
    """
    if document.then is None:
        return document.rules
    let_pass = ("keep", "pass", "detect") if document.unknown == "redact" else ("keep", "pass")
    shipped = files.read_toml(SHIPPED / f"{document.then}.toml", VARIABLE, PolicyFile)
    return document.rules + tuple(table for table in shipped.rules if table.action not in let_pass)


def _rules(table: RuleTable, document: PolicyFile, key: bytes | None, where: str) -> list[MaskRule]:
    searches = table.action == "detect"
    paths = tuple(map(_without_trailing_deep, table.paths)) if searches and not table.plain_only else table.paths
    for at, path in enumerate(paths):
        _check_reach(path, f"{where}.paths[{at}]", plain_only=table.plain_only)
    find = _find(table, document.regions, where) if searches or _is_searched(table) else None
    action = None if searches else _action(table, document.hmac, key, where)
    if action is not None and not table.booleans:
        action = actions.redact_texts if action is actions.redact else actions.but_for_booleans(action)
    plain_only = table.plain_only or table.action == "pass"
    return [MaskRule(table.action, path, action, find, plain_only) for path in paths]


def _is_searched(table: RuleTable) -> bool:
    """Whether what passes by a rule is searched for more than addresses."""
    return table.action == "pass" and "detectors" in table.model_fields_set


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
        "pass": None,
        "remove": actions.remove,
        "redact": actions.redact,
        "keep_last": actions.keep_last_of_numbers(count) if table.numbers_only else actions.keep_last(count),
        "truncate": actions.truncate(count),
    }
    return made[table.action]


def _find(table: RuleTable, regions: Sequence[str], where: str) -> Find:
    if table.engine == "presidio":
        from stream_router.pipeline.masking.detectors import presidio

        return presidio.finder(table.detectors if "detectors" in table.model_fields_set else (), table.language, where)
    return finder.finder(table.detectors, regions)
