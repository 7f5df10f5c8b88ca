"""Reading and compiling of a masking policy (TOML). Its grammar and the order of its rules are in docs/masking.md.

Errors of a policy are found at start. One line names the error, the allowed values, and an example.
"""

import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any

import orjson

from stream_router.errors import SettingsError
from stream_router.pipeline.masking import actions
from stream_router.pipeline.masking.paths import ANY_KEY, ANYTHING, DEEP, ELEMENT, Token, parse_paths
from stream_router.pipeline.masking.policy import OBJECTS, ROOTS, MaskingPolicy, MaskingRule
from stream_router.settings import files

VARIABLE = "STREAM_ROUTER_MASKING"
DEFAULT = Path(__file__).with_name("default.toml")

_EXAMPLES = {
    "base": 'base = "default"',
    "drop": 'drop = ["payload.data.message.attachments"]',
    "hash": 'hash = ["payload.customer.email"]',
    "keep_last": 'keep_last = [["payload.customer.phone", 4]]',
    "search": 'search = ["payload.transcript[].text"]',
    "regions": 'regions = ["DE", "GB"]',
    "allow_uuids": 'allow_uuids = ["payload.data.thread.id"]',
    "allow_ids": 'allow_ids = ["payload.ticketId"]',
    "allow": 'allow = ["payload.queueName", "payload.tags[]", "payload.counts.**"]',
    "unknown": 'unknown = "redact"',
    "dead_letters": "dead_letters = true",
}
"""Examples of all keys that a policy may have."""

_ALLOWED_VALUES: dict[str, tuple[tuple[Any, ...], str]] = {
    "base": (("default",), 'is not a shipped policy: name "default", or omit the line'),
    "unknown": (("redact", "pass"), 'is neither "redact" nor "pass"'),
    "dead_letters": ((True, False), "is neither true nor false"),
}
"""Keys with few allowed values, and the error for any other value."""

ORDER = ("drop", "hash", "keep_last", "search", "allow_uuids", "allow_ids", "allow")
"""Order in which the rules of a file are tried, regardless of their order there. The rules of its base come later."""

_FORMS = {"allow_ids": actions.ID_FORM, "allow_uuids": actions.UUID_FORM}
_NAME = re.compile(r"[^A-Za-z0-9_.-]")
_MAX_QUOTED_CHARS = 60


def load(name: str, key: bytes | None) -> MaskingPolicy:
    """Return the policy that the setting names: `default`, or a file's path. `key` is the key of hashes, if any.

    Its id is the file's name. Its version is a digest of the file's content, so that a policy with other decisions has
    another version. Raise SettingsError.
    """
    file, document = _read(name)
    sources = [(file, document)]
    if document.get("base") is not None:
        sources.append(_read("default"))
    private_action = actions.keyed_hash(key) if key else actions.redact
    search = _search(file, document)
    rules = [rule for source, content in sources for rule in source.rules(content, search.text if search else None)]
    redacts_unknown = document.get("unknown", "redact") == "redact"
    if not redacts_unknown and all(rule.name.startswith("allow") for rule in rules):
        problem = "lets everything pass, and no rule masks anything"
        raise file.wrong_key("unknown", problem, 'set "redact", or add a rule')
    return MaskingPolicy(
        _NAME.sub("_", file.path.stem)[:64],
        hashlib.sha256(orjson.dumps([content for _, content in sources])).hexdigest()[:12],
        rules,
        private=private_action,
        mask_dead_letters=document.get("dead_letters", False),
        closed=redacts_unknown,
        begin=search.begin if search else None,
    )


def _read(name: str) -> tuple["_File", dict[str, Any]]:
    path = DEFAULT if name == "default" else Path(name)
    try:
        text = files.read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        failure = files.describe_failure(error)
        cure = "name default, or a policy file that can be (docs/masking.md)"
        raise SettingsError(VARIABLE, f"cannot be read ({failure})", cure, place=(str(path),)) from None
    file = _File(path)
    return file, file.document(text)


def _search(file: "_File", document: dict[str, Any]) -> Any:
    """Return the search that the file configures, or None. Its libraries are loaded only for a policy that searches."""
    if not document.get("search"):
        if document.get("regions"):
            problem = "is of use only beside `search`, which names the texts to look in"
            raise file.wrong_key("regions", problem)
        return None
    from phonenumbers import SUPPORTED_REGIONS

    from stream_router.pipeline.masking import search

    for region in document.get("regions", ()):
        if region not in SUPPORTED_REGIONS:
            problem = "is not a country that libphonenumber knows: write two capital letters; the United Kingdom is GB"
            raise file.wrong_key("regions", f"{_quote(region)} {problem}")
    return search.TextSearch(document.get("regions", ()))


class _File:
    """Reader of one file's rules, with its errors."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def wrong_key(self, key: str, problem: str, cure: str = "", at: str = "") -> SettingsError:
        """Return the error about a key of the file. The cure ends with an example of the key."""
        example = f"for example {_EXAMPLES[key]}"
        cure = f"{cure}; {example}" if cure else example
        return SettingsError(VARIABLE, problem, cure, place=(str(self.path), f"{key}{at}"))

    def document(self, text: str) -> dict[str, Any]:
        """Return the file's keys and values, each of the right type."""
        try:
            document = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            cure = f"a policy is lines such as {_EXAMPLES['base']} and {_EXAMPLES['hash']}"
            raise SettingsError(VARIABLE, f"is not TOML: {error}", cure, place=(str(self.path),)) from None
        for key, value in document.items():
            if key not in _EXAMPLES:
                near = files.nearest_name(key, _EXAMPLES)
                hint = f"did you mean {near}? " if near else ""
                cure = f"{hint}allowed are {', '.join(_EXAMPLES)}; for example {_EXAMPLES[near or 'allow']}"
                raise SettingsError(VARIABLE, f"{_quote(key)} is not a key of a policy", cure, place=(str(self.path),))
            self._check_kind(key, value)
        return document

    def _check_kind(self, key: str, value: Any) -> None:
        """Raise SettingsError if the value of a key has a wrong type, or is not allowed."""
        if key in _ALLOWED_VALUES:
            values, words = _ALLOWED_VALUES[key]
            if value not in values or type(value) is not type(values[0]):
                raise self.wrong_key(key, words)
            return
        if type(value) is not list:
            raise self.wrong_key(key, "is not a list")
        for at, item in enumerate(value):
            if key != "keep_last":
                if type(item) is not str:
                    raise self.wrong_key(key, "is not text in quotes", at=f"[{at}]")
            elif not (type(item) is list and list(map(type, item)) == [str, int]):
                raise self.wrong_key(key, "is not a pair of path and number of characters to keep", at=f"[{at}]")
            elif not 1 <= item[1] <= actions.MAX_KEPT_CHARS:
                raise self.wrong_key(key, f"keeps none of 1 to {actions.MAX_KEPT_CHARS} characters", at=f"[{at}]")

    def rules(self, document: dict[str, Any], search: Any) -> list[MaskingRule]:
        """Return the file's rules, in the order in which they are tried."""
        rules: list[MaskingRule] = []
        for name in ORDER:
            for at, item in enumerate(document.get(name, ())):
                text, count = item if name == "keep_last" else (item, 0)
                action = {"search": search, "keep_last": actions.keep_last(count)}.get(name)
                action = actions.redact if name in ("drop", "hash") else action  # `hash` is the policy's own `private`
                rules += [MaskingRule(name, path, action, _FORMS.get(name)) for path in self._paths(name, at, text)]
        return rules

    def _paths(self, name: str, at: int, text: str) -> list[tuple[Token, ...]]:
        """Return the paths that the text `at` of the list `name` stands for. Raises SettingsError."""
        try:
            paths = parse_paths(text)
        except ValueError as error:
            problem, cure = f"{_quote(text)} {error}", "a path is steps joined by dots"
            raise self.wrong_key(name, problem, cure, at=f"[{at}]") from None
        for path in paths:
            if problem := _describe_unreachable(path) or (_describe_allow_all(path) if name == "allow" else ""):
                raise self.wrong_key(name, f"{_quote(text)} {problem}", at=f"[{at}]")
        return paths


def _describe_unreachable(path: tuple[Token, ...]) -> str:
    """Return what is wrong with a path; "" if nothing is.

    A path is wrong if no event has it, or if it leads to a part that must stay an object.
    """
    first, below = path[0], path[1:]
    if first is ELEMENT or (isinstance(first, str) and first not in {root.lower() for root in ROOTS}):
        return f"begins with none of {', '.join(ROOTS)}, * or **"
    is_object = first in OBJECTS
    names_a_member = bool(below) and below[0] is not ELEMENT
    if isinstance(first, str) and is_object != names_a_member:
        return f"leads to nothing: {' and '.join(OBJECTS)} are objects (payload.** is all in one), the others texts"
    return ""


def _describe_allow_all(path: tuple[Token, ...]) -> str:
    """Return the error of a path that leaves nothing to mask; "" if there is none."""
    if path[-1] is ANYTHING and all(step is ANY_KEY or step is DEEP or step == "payload" for step in path[:-1]):
        return 'lets everything pass; for a policy that masks only what it names write unknown = "pass"'
    return ""


def _quote(value: Any) -> str:
    """Return a part of the file in the form in which an error quotes it."""
    text = ascii(value)
    return text if len(text) <= _MAX_QUOTED_CHARS else text[:_MAX_QUOTED_CHARS] + "…"
