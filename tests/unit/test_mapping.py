"""The configuration file: shapes without code, and clear words about what is wrong in it."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.errors import SettingsError
from stream_router.model import DeadLetter, Dropped, Entry, Reason
from stream_router.pipeline.mapping.config_file import DIGITAL_TYPES
from stream_router.pipeline.transform import Transform
from tests.events import BODY, NOW_MS, RECEIVED_MS, config_of, entry, event, letter, transform

SHAPE = """
[[shapes]]
name = "acd"
when = ["acd.id", "kind"]
event_types = { Started = "interaction.created" }

[shapes.fields]
interactionId = "acd.id"
conversationId = ["acd.master", "acd.id"]
eventType = { path = "kind", default = "conversation.updated" }
timestamp = "when"
payload = "acd"
"""
ACD: dict[str, Any] = {"kind": "Started", "when": "2026-11-24T09:30:00Z", "acd": {"id": "x-1", "n": 1}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "router.toml"
    path.write_text(SHAPE)
    return path


def test_shape_without_code_maps_paths_types_and_defaults(file: Path) -> None:
    """The first path that leads to something counts, types are renamed, the payload is what its path leads to."""
    detail = orjson.loads(entry(ACD, config=file).detail)
    assert (detail["originalEventId"], detail["conversationId"]) == ("x-1", "x-1")
    assert (detail["eventType"], detail["payload"]) == ("interaction.created", ACD["acd"])


def test_default_stands_in_for_what_is_missing(file: Path) -> None:
    """A null counts as missing, and an empty text too."""
    assert entry({**ACD, "kind": None}, config=file).detail_type == "conversation.updated"
    assert entry({**ACD, "kind": ""}, config=file).detail_type == "conversation.updated"


DIGITAL: dict[str, Any] = {"eventId": "e-1", "eventType": "CaseStatusChanged", "createdAt": "2026-11-24T09:30:00Z"}


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_digital_event_whose_time_is_nothing_has_the_time_of_receipt(nothing: object) -> None:
    """As one without the field has: to the sender both say the same, and neither is buried."""
    body = {**DIGITAL, "createdAt": nothing, "data": {}}
    assert entry(body).time_s == RECEIVED_MS / 1000
    assert entry({**body, "createdAtWithMilliseconds": "2026-11-24T09:30:00.5Z"}).time_s == 1_795_512_600.5


def test_one_shape_can_be_set_for_all_events(file: Path) -> None:
    """With `shape` set, an event of another shape is a mismatch, and the reason names what it lacks."""
    file.write_text('shape = "acd"\n' + SHAPE)
    assert entry(ACD, config=file).order_key == "x-1"
    dead = letter(BODY, config=file)
    assert (dead.reason, dead.code) == (Reason.SCHEMA_MISMATCH, "UnknownShape")
    assert "acd.id, kind" in dead.message


def test_a_step_is_a_number_only_where_it_is_written_as_one(file: Path) -> None:
    """`007` is a key as it stands; `0` is a place in an array, or the key `0`."""
    file.write_text(SHAPE.replace('"acd.id"\nconv', '"acd.007"\nconv').replace('["acd.master", "acd.id"]', '"acd.0"'))
    detail = orjson.loads(entry({**ACD, "acd": {"id": "x", "007": "bond", "7": "no", "0": "zero"}}, config=file).detail)
    assert (detail["originalEventId"], detail["conversationId"]) == ("bond", "zero")


def test_preset_can_be_amended_by_its_name(file: Path) -> None:
    """Without `fields` the table changes a preset: here its types' names."""
    file.write_text('[[shapes]]\nname = "default"\nevent_types = { "chat.new" = "interaction.created" }\n')
    assert entry({**BODY, "eventType": "chat.new"}, config=file).detail_type == "interaction.created"


def test_constant_metadata_is_added(file: Path) -> None:
    """It stands beside the pipeline's own, which it cannot replace."""
    file.write_text('[metadata]\ntenant = "acme"\ntier = 2\n')
    metadata = orjson.loads(entry(BODY, config=file).detail)["metadata"]
    assert (metadata["tenant"], metadata["tier"], metadata["complianceTag"]) == ("acme", 2, "unmasked")


def wrong(old: str, new: str) -> str:
    assert old in SHAPE
    return SHAPE.replace(old, new)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (wrong('"acd.id", "kind"', '"acd..id"'), "shapes[0].when[0]"),
        (wrong('timestamp = "when"', ""), "shapes[0].fields.timestamp"),
        (wrong('timestamp = "when"', 'timestamp = { path = "x", default = "soon" }'), "shapes[0].fields.timestamp"),
        (wrong('default = "conversation.updated"', 'default = ""'), "shapes[0].fields.eventType"),
        (wrong('default = "conversation.updated"', 'default = "a\\nb"'), "shapes[0].fields.eventType"),
        (wrong('Id = "acd.id"', 'Id = { value = "" }'), "shapes[0].fields.interactionId"),
        (wrong('Id = ["acd.master", "acd.id"]', "Id = { value = { a = 1 } }"), "shapes[0].fields.conversationId"),
        (wrong('payload = "acd"', 'payload = { path = "x", default = "y" }'), "shapes[0].fields.payload"),
        (wrong('payload = "acd"', "payload = { value = { t = 07:32:00 } }"), "shapes[0].fields.payload"),
        (wrong('payload = "acd"', "payload = { value = { x = nan } }"), "shapes[0].fields.payload"),
        (wrong('payload = "acd"', f"payload = {{ value = {{ {'a.' * 999}a = 1 }} }}"), "shapes[0].fields.payload"),
        ('[event_types]\nA = "a\\nb"\n', "event_types.A"),
        ('[metadata]\nreplayed = "x"\n', "metadata.replayed"),
        (f"[metadata]\nn = {2**63}\n", "metadata.n"),
        ("[metadata]\nn = { a = 1 }\n", "metadata.n"),
        (wrong('path = "kind", default', "path = 'kind', value"), "shapes[0].fields.eventType"),
        (wrong('name = "acd"', 'name = "acd"\nwhen_not = 1'), "shapes[0].when_not"),
        (wrong('when = ["acd.id", "kind"]', ""), "shapes[0].when"),
        ('[[shapes]]\nname = "unheard"\n', "shapes[0].fields"),
        ('naive_zone = "Mars/Olympus"\n' + SHAPE, "naive_zone"),
        ('shape = "unheard"\n' + SHAPE, "shape"),
        ('[metadata]\nregion = "x"\n', "metadata.region"),
        ('[event_types]\nA = "stream_router.probe"\n', "event_types.A"),
        ("surprise = true\n", "surprise"),
        ("shape = \n", "is no TOML"),
    ],
)
def test_what_is_wrong_is_named(file: Path, text: str, key: str) -> None:
    """One line: the setting, the file, the failing key, and no value of it."""
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        Transform(config_of(config=file), lambda: NOW_MS)
    line = str(caught.value)
    assert line.startswith(f"STREAM_ROUTER_CONFIG: {file}: {key}")
    assert "\n" not in line


def test_time_of_receipt_can_be_the_default(tmp_path: Path) -> None:
    """A shape of one's own whose events hold no time gets the time at which they were received."""
    file = tmp_path / "shapes.toml"
    file.write_text(
        '[[shapes]]\nname = "x"\nwhen = ["kind"]\n[shapes.fields]\ninteractionId = "id"\n'
        'eventType = { value = "interaction.created" }\ntimestamp = { path = "at", default = "receivedAt" }\n'
    )
    for body, wanted in (
        ({"kind": 1, "id": "a"}, RECEIVED_MS / 1000),
        ({"kind": 1, "id": "a", "at": 1_795_512_600}, 1_795_512_600),
    ):
        assert entry(body, config=str(file)).time_s == wanted


CASE = {"case": {"id": "case-1", "interactionId": "interaction-1", "contactId": "contact-1"}}


def test_each_type_of_nices_lists_is_routed() -> None:
    """As event and as answer, which has no time: to one of our types; joined by interaction and case.

    A type about no conversation keeps its name: it is a dead letter by default, and delivered where a setting names it.
    By NICE's own name each is dropped where that is set.
    """
    route = Transform(config_of(), lambda: NOW_MS)
    for name, ours in DIGITAL_TYPES.items():
        with_time = {**DIGITAL, "eventType": name, "createdAtWithMilliseconds": "2022-08-04T19:27:35.450+01:00"}
        made = route(event({**with_time, "data": CASE}))
        assert isinstance(transform({**with_time, "data": CASE}, drop_types=name), Dropped)
        if name == ours:
            assert isinstance(made, DeadLetter)
            assert made.code == "UnroutableEventType"
            assert entry({**with_time, "data": CASE}, event_types=name).detail_type == name
            continue
        assert isinstance(made, Entry)
        answer = route(event({"eventId": "e-1", "postback": {"eventType": name, "data": CASE}}))
        assert isinstance(answer, Entry)
        for detail in (orjson.loads(made.detail), orjson.loads(answer.detail)):
            assert detail["eventType"] == ours
            assert (detail["originalEventId"], detail["conversationId"]) == ("interaction-1", "case-1")
        assert orjson.loads(made.detail)["eventTimestamp"] == "2022-08-04T18:27:35.450Z"
