"""Masking, by drawn policies and drawn events: what leaves is allowed by a rule, or is a mask."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_router.pipeline.mapping import config_file
from stream_router.pipeline.mapping.mapper import EventMapper
from stream_router.pipeline.masking import policy_file, preview
from stream_router.pipeline.masking.policy import MaskingPolicy

KEYS = st.sampled_from(
    [
        *("a", "b", "id", "email", "@id", "newField", "anna@example.com", "+4915112345678", "A", "[x]"),
        *("@2:id", "@4915112345678:id", "@Anna Meyer +49 30 901820:id", "@a:b:id", "@:id", "@@id", "@\u0663:id"),
        *("field12345", "field123456", "@field123456", "k" * 64, "k" * 65, "@" + "k" * 64, "@" + "k" * 65),
    ]
)
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(["e-1", "anna@example.com", "+49 30 901820", "4111 1111 1111 1111", "x" * 129, "[REDACTED]"]),
)
JSON = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)
STEPS = st.lists(st.sampled_from(["a", "b", "id", "email", "*", "**", "{a,b}", "newField"]), min_size=1, max_size=4)
PATHS = st.builds(
    lambda steps, element: "payload." + ".".join(steps) + element, STEPS, st.sampled_from(["", "", "[]", "[].a"])
).filter(lambda path: not re.fullmatch(r"payload(\.\*)*(\.\*\*)+(\.\*)*(\.\*\*)*", path))
LISTS = ("allow", "allow_ids", "hash", "search", "drop")
POLICIES = st.fixed_dictionaries(
    dict.fromkeys(LISTS, st.lists(PATHS, max_size=3)),
    optional={"keep_last": st.lists(st.tuples(PATHS, st.integers(1, 16)), max_size=2)},
)
MASK = re.compile(
    r"\[REDACTED\]|hmac:[0-9a-f]{32}|\*{4}.{0,16}|[^@]*\[(EMAIL|IBAN|CARD|IP|SSN|PHONE)\][^@]*", re.DOTALL
)
FIELD_NAME = re.compile(r"@?[A-Za-z_#][A-Za-z_.:#-]*(?:[0-9][A-Za-z_.:#-]*){0,5}")
FIELD_NAME_MAX_CHARS = 64
ATTRIBUTE = re.compile(r"@(?:[0-9]{1,5}:)?([^:]*)")
ID_FORM = re.compile(r"[A-Za-z0-9_.:-]{0,128}")


def compiled(folder: Path, output: dict[str, Any], key: bytes | None) -> MaskingPolicy:
    """The policy that a drawn one says, as a file; JSON's texts and lists are TOML's too."""
    file = folder / "policy.toml"
    file.write_text("\n".join(f"{name} = {orjson.dumps(value).decode()}" for name, value in output.items() if value))
    return policy_file.load(str(file), key)


def fits(path: str, where: tuple[str | None, ...]) -> bool:
    """Whether a path of a policy leads to a place (None: an element), worked out by trying: the plain way."""
    steps = path.lower().replace("[]", ".[]").split(".")

    def leads(steps: list[str], where: tuple[str | None, ...]) -> bool:
        if not steps:
            return not where
        first, rest = steps[0], steps[1:]
        if first == "**":
            if not rest:
                return bool(where)
            return leads(rest, where) or (bool(where) and leads(steps, where[1:]))
        if not where:
            return False
        here = where[0]
        return matches(first, here) and leads(rest, where[1:])

    return leads(steps, where)


def matches(step: str, here: str | None) -> bool:
    """Whether a step other than `**` leads to this key, or to an element."""
    if here is None:
        return step == "[]"
    attribute = ATTRIBUTE.fullmatch(here.lower())
    names = step.strip("{}").split(",")
    return step == "*" or here.lower() in names or (attribute is not None and attribute[1] in names)


def names_key(path: str, where: tuple[str | None, ...]) -> bool:
    """Whether a path names the last key of `where`, by itself, by `*` or by `**` at its end; it may go on below."""

    def leads(steps: list[str], where: tuple[str | None, ...], *, by_name: bool) -> bool:
        if not where:
            return by_name
        if not steps:
            return False
        first, rest = steps[0], steps[1:]
        if first == "**":
            return not rest or leads(rest, where, by_name=by_name) or leads(steps, where[1:], by_name=False)
        return matches(first, where[0]) and leads(rest, where[1:], by_name=True)

    return leads(path.lower().replace("[]", ".[]").split("."), where, by_name=False)


def is_field_name(key: str) -> bool:
    """The rule of docs/masking.md for a key that no path names."""
    return FIELD_NAME.fullmatch(key) is not None and len(key.removeprefix("@")) <= FIELD_NAME_MAX_CHARS


def leaves(value: Any, where: tuple[str | None, ...] = ()) -> Iterator[tuple[tuple[str | None, ...], Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*where, key))
    elif isinstance(value, list) and value:
        for item in value:
            yield from leaves(item, (*where, None))
    else:
        yield where, value


@given(
    payload=st.dictionaries(KEYS, JSON, max_size=5), output=POLICIES, key=st.sampled_from([None, b"0123456789abcdef"])
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_leaf_is_allowed_by_a_rule_or_is_a_mask(
    tmp_path: Path, payload: dict[str, Any], output: dict[str, Any], key: bytes | None
) -> None:
    """For any JSON and any policy that redacts what it does not know; null and what is empty hold nothing.

    A key leaves if a path names it, or if it looks like a field's name. A value that the command `mask` shows to pass
    leaves as it is.
    """
    before = orjson.dumps(payload)
    policy = compiled(tmp_path, output, key)
    masked = policy.mask({"payload": payload}, Counter())["payload"]
    assert orjson.dumps(payload) == before, "the event itself is not touched"
    paths = [path for name in LISTS for path in output[name]] + [path for path, _ in output.get("keep_last", ())]
    for where, value in leaves(masked, ("payload",)):
        allowed = any(fits(path, where) for path in output["allow"] + output["search"])
        as_id = any(fits(path, where) for path in output["allow_ids"])
        mask = isinstance(value, str) and MASK.fullmatch(value) is not None
        form = not isinstance(value, str) or ID_FORM.fullmatch(value) is not None
        assert value in (None, {}, []) or mask or allowed or (as_id and form), (where, value)
        assert not any(fits(path, where) for path in output["drop"]), where
        for at, step in enumerate(where[1:], 2):
            named = step is None or any(names_key(path, where[:at]) for path in paths)
            assert named or step == "[REDACTED]" or is_field_name(str(step)), step
    shown = preview.show(policy, EventMapper(config_file.load(None)), before)
    passed = Counter(orjson.dumps(line.after) for line in shown if line.verdict == "passed")
    assert not passed - Counter(orjson.dumps(value) for _, value in leaves(masked))
