"""XML as masking meets it: the same plain values as those of JSON, and attributes under the rules of their names."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_router.envelope import open_record
from stream_router.model import Entry, Event, Record
from stream_router.pipeline.mapping import xml_body
from stream_router.pipeline.rejection import Rejected
from stream_router.pipeline.transform import Transform, TransformConfig
from tests.unit.test_xml_and_sources import NOW_S, TYPE, sealed

PERSON = (
    b"<participant><email>anna@example.com</email><ssn>078-05-1120</ssn><firstName>Anna</firstName>"
    b"<phone>+4915112345678</phone></participant>"
)
IN_CLEAR = ("anna@", "078-05", "Anna", "151123")


def masked(xml: bytes, policy: str = "default") -> dict[str, Any]:
    """The Detail that comes of this body, the whole way from the receiver's line."""
    transform = Transform(TransformConfig("us-east-1", (TYPE,), masking=policy), lambda: NOW_S * 1000)
    (event,) = open_record(Record(sealed(xml), 1))
    assert isinstance(event, Event)
    entry = transform(event)
    assert isinstance(entry, Entry)
    detail: dict[str, Any] = orjson.loads(entry.detail)
    return detail


def types_of(value: Any) -> Any:
    """The exact type of a value and of all that is in it, by place."""
    if isinstance(value, dict):
        return type(value), {key: types_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return type(value), [types_of(item) for item in value]
    return type(value)


NAMES = st.sampled_from(["a", "b", "note"])
TREES = st.recursive(
    st.builds(lambda name, text: f"<{name}>{text}</{name}>", NAMES, st.sampled_from(["", "x", " "])),
    lambda inner: st.builds(
        lambda name, attribute, parts: f"<{name}{attribute}>{''.join(parts)}</{name}>",
        NAMES,
        st.sampled_from(["", ' a="1"']),
        st.lists(inner, max_size=4),
    ),
)


@given(TREES)
def test_values_of_xml_have_the_types_of_json(xml: str) -> None:
    """Masking asks for the very type of a value, so what XML becomes has the types that reading JSON gives."""
    value = xml_body.parse(xml.encode())
    assert types_of(value) == types_of(orjson.loads(orjson.dumps(value)))


@pytest.mark.parametrize("policy", ["default", "strict"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_repeated_elements_are_masked(policy: str, count: int) -> None:
    """A second element of the same name makes an array of both, which is masked as a JSON array is."""
    text = orjson.dumps(masked(b"<event>" + PERSON * count + b"</event>", policy)).decode()
    assert [clear for clear in IN_CLEAR if clear in text] == []
    assert text.count("****5678") == count


def test_an_attribute_is_masked_as_the_key_of_its_name() -> None:
    """What a rule says of `name` holds for `@name` too, in a key's full name and in its words."""
    detail = masked(
        b'<event id="e-1" status="open"><page name="Anna Schmidt" zip="10115" homePhone="0151 1234567"/></event>'
    )
    assert detail["payload"]["event"] == {
        "@id": "e-1",
        "@status": "open",
        "page": {"@name": "[REDACTED]", "@zip": "[REDACTED]", "@homePhone": "****4567"},
    }
    assert detail["metadata"]["complianceTag"] == "pii-masked"


def test_a_rule_for_an_attribute_is_none_for_the_key_and_allows_nothing_else(tmp_path: Path) -> None:
    """A path may say `@name` itself; and what `allow` names passes as written, so no attribute passes with its key."""
    path = tmp_path / "policy.toml"
    path.write_text('id="x"\nversion="1"\n[[rules]]\naction="redact"\npaths=["**.@name"]\n')
    xml = b'<event><page name="Anna Schmidt"><name>queue 7</name></page></event>'
    assert masked(xml, str(path))["payload"]["event"]["page"] == {"@name": "[REDACTED]", "name": "queue 7"}
    path.write_text('id="x"\nversion="1"\nallow=["payload.event.page.name"]\n')
    assert masked(xml, str(path))["payload"]["event"]["page"] == {"name": "queue 7"}


CLASHES = {
    "two namespaces": (b'x:id="1" y:id="2"', {"@id": "1", "@2:id": "2"}),
    "none goes first": (b'x:id="1" id="2"', {"@id": "2", "@2:id": "1"}),
    "three": (b'x:id="1" y:id="2" id="3"', {"@id": "3", "@2:id": "1", "@3:id": "2"}),
    "no clash": (b'x:id="1" y:no="2"', {"@id": "1", "@no": "2"}),
}


@pytest.mark.parametrize(("attributes", "wanted"), CLASHES.values(), ids=CLASHES)
def test_attributes_of_one_local_name_are_all_kept(attributes: bytes, wanted: dict[str, str]) -> None:
    """The one without a namespace has the short name, else the first; the others are counted."""
    assert xml_body.parse(b'<a xmlns:x="u:1" xmlns:y="u:2" ' + attributes + b"/>") == {"a": wanted}


def test_a_counted_attribute_is_masked_as_the_key_of_its_name() -> None:
    """The count is no part of the name that a rule gives."""
    detail = masked(b'<event><page xmlns:x="u:1" name="Start" x:name="Anna Schmidt"/></event>')
    assert detail["payload"]["event"]["page"] == {"@name": "[REDACTED]", "@2:name": "[REDACTED]"}


@pytest.mark.parametrize(
    "name", ["message", "content", "body", "customer", "contact", "agent", "user", "author", "caller"]
)
def test_repeated_elements_that_hold_texts_are_masked(name: str) -> None:
    """Also under a name that elsewhere holds an object: each text of the array is masked as a single one is."""
    element = f"<{name}>Anna Schmidt</{name}>".encode()
    for count in (1, 2):
        text = orjson.dumps(masked(b"<event>" + element * count + b"</event>")).decode()
        assert "Anna" not in text
        assert text.count("[REDACTED]") == count


LONG = f' xmlns:x="{"u" * 5000}"'
NAMES_OF_ONE = {
    "attributes": (LONG + "".join(f' x:a{number}=""' for number in range(100)), ""),
    "elements": (LONG, "".join(f"<x:a{number}/>" for number in range(100))),
    "a long prefix": (f' xmlns:{"p" * 2000} = "{"u" * 5000}"', ""),
    "the default": (f" xmlns\n='{'u' * 5000}'", "<b/>"),
    "bytes like quotes in UTF-16": (f' xmlns:x="{chr(0x2222) * 1500}{chr(0x2727) * 1500}{chr(0x3C3C) * 1500}"', ""),
}


@pytest.mark.parametrize(("attributes", "elements"), NAMES_OF_ONE.values(), ids=NAMES_OF_ONE)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_long_namespace_is_refused(encoding: str, attributes: str, elements: str) -> None:
    """The parser writes it out with every name, so a body of 200 KB would take gigabytes."""
    with pytest.raises(Rejected) as caught:
        xml_body.parse(f"<a{attributes}>{elements}</a>".encode(encoding))
    assert caught.value.code == "LongNamespace"
