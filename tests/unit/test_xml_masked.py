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


@pytest.mark.parametrize("count", [1, 2, 3])
def test_repeated_elements_are_masked(count: int, tmp_path: Path) -> None:
    """A second element of the same name makes an array of both, which is masked as a JSON array is."""
    text = orjson.dumps(masked(b"<event>" + PERSON * count + b"</event>")).decode()
    assert [clear for clear in IN_CLEAR if clear in text] == []
    policy = tmp_path / "policy.toml"
    policy.write_text('keep_last = [["payload.event.{participant,participant[]}.phone", 4]]')
    text = orjson.dumps(masked(b"<event>" + PERSON * count + b"</event>", str(policy))).decode()
    assert [clear for clear in IN_CLEAR if clear in text] == []
    assert text.count("****5678") == count


def test_experts_events_keep_their_ids_and_times_and_nothing_else() -> None:
    """Under `default`, in attributes too: what they say of a page and of a person does not leave."""
    detail = masked(
        b'<event id="e-1" datetime="2026-11-24T09:30:00Z" type="page.updated" author="Anna"><page id="42" title="Anna">'
        b"<path>Anna</path></page><user><email>anna@example.com</email></user></event>"
    )
    assert detail["payload"]["event"] == {
        "@id": "e-1",
        "@datetime": "2026-11-24T09:30:00Z",
        "@type": "page.updated",
        "@author": "[REDACTED]",
        "page": {"@id": "42", "@title": "[REDACTED]", "path": "[REDACTED]"},
        "user": "[REDACTED]",
    }
    assert (detail["originalEventId"], detail["conversationId"]) == ("e-1", "42")
    assert detail["metadata"]["complianceTag"] == "pii-masked"


def test_a_path_to_an_attribute_is_none_to_the_key(tmp_path: Path) -> None:
    """A path may say `@name` itself; without the sign it leads to both."""
    path = tmp_path / "policy.toml"
    xml = b'<event><page name="Anna Schmidt"><name>queue 7</name></page></event>'
    for named, wanted in (("@name", ["Anna Schmidt", "[REDACTED]"]), ("name", ["Anna Schmidt", "queue 7"])):
        path.write_text(f'allow = ["payload.event.page.{named}"]')
        assert list(masked(xml, str(path))["payload"]["event"]["page"].values()) == wanted


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
