"""The configuration file: shapes without code, and clear words about what is wrong in it."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_router.errors import SettingsError
from stream_router.model import Reason
from stream_router.pipeline.mapping import config_file
from stream_router.pipeline.transform import Transform
from tests.events import BODY, NOW_MS, RECEIVED_MS, config_of, entry, letter

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


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        ({**BODY, "interactionId": "i-1", "conversationId": ""}, ("i-1", None)),
        ({**DIGITAL, "data": {"case": {"id": "7", "interactionId": ""}}}, ("e-1", "7")),
        ({**DIGITAL, "data": {"case": {"id": "", "interactionId": "i-1"}, "thread": {"id": "t-1"}}}, ("i-1", "t-1")),
        ({**DIGITAL, "data": {"case": {"id": "", "interactionId": ""}}}, ("e-1", None)),
        ({**DIGITAL, "createdAtWithMilliseconds": "", "data": {}}, ("e-1", None)),
        ({"eventTime": "2026-11-24T09:30:00Z", "contactId": 5, "masterContactId": ""}, ("5", "5")),
        ({"contactId": "5", "contactStart": "2026-11-24T09:30:00Z", "lastUpdateTime": ""}, ("5", "5")),
    ],
)
def test_an_empty_text_is_nothing(body: dict[str, Any], ids: tuple[str, str | None]) -> None:
    """A script writes an unset variable so; what else leads to the field stands in, else null, and none is buried."""
    detail = orjson.loads(entry(body).detail)
    assert (detail["originalEventId"], detail["conversationId"]) == ids
    assert detail["eventTimestamp"][:20] == "2026-11-24T09:30:00."


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_digital_event_whose_time_is_nothing_has_the_time_of_receipt(nothing: object) -> None:
    """As one without the field has: to the sender both say the same, and neither is buried."""
    body = {**DIGITAL, "createdAt": nothing, "data": {}}
    assert entry(body).time_s == RECEIVED_MS / 1000
    assert entry({**body, "createdAtWithMilliseconds": "2026-11-24T09:30:00.5Z"}).time_s == 1_795_512_600.5


def test_presets_still_fit_beside_an_own_shape(file: Path) -> None:
    """The file adds; the default shape stays known."""
    assert entry(BODY, config=file).detail_type == "conversation.updated"


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


def test_constants_at_the_limits_are_taken(file: Path) -> None:
    """A constant may be what a value of an event may be."""
    text = wrong('Id = "acd.id"', f"Id = {{ value = {2**63 - 1} }}")
    text = text.replace('"conversation.updated"', f'"{"x" * 128}"').replace('"when"', '{ path = "at", default = 1e9 }')
    text = text.replace('payload = "acd"', "payload = { value = { n = [-1, 1.5, true, 'x', {}] } }")
    file.write_text(f"[metadata]\nn = {-(2**63)}\n{text}")
    detail = orjson.loads(entry({**ACD, "kind": None}, config=file, event_types="x" * 128).detail)
    assert (detail["originalEventId"], detail["eventTimestamp"]) == (str(2**63 - 1), "2001-09-09T01:46:40.000Z")
    assert (detail["payload"], detail["metadata"]["n"]) == ({"n": [-1, 1.5, True, "x", {}]}, -(2**63))


def wrong(old: str, new: str) -> str:
    assert old in SHAPE
    return SHAPE.replace(old, new)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (wrong('"acd.id", "kind"', '"acd..id"'), "shapes[0].when[0]"),
        (wrong('timestamp = "when"', ""), "shapes[0].fields.timestamp"),
        (wrong('timestamp = "when"', 'timestamp = { value = "2026" }'), "shapes[0].fields.timestamp"),
        (wrong('timestamp = "when"', 'timestamp = { path = "x", default = "soon" }'), "shapes[0].fields.timestamp"),
        (
            wrong('timestamp = "when"', "timestamp = { path = 'x', default = 2026-11-24T09:30:00Z }"),
            "shapes[0].fields.timestamp",
        ),
        (wrong('default = "conversation.updated"', 'default = ""'), "shapes[0].fields.eventType"),
        (wrong('default = "conversation.updated"', f'default = "{"x" * 129}"'), "shapes[0].fields.eventType"),
        (wrong('default = "conversation.updated"', 'default = "a\\nb"'), "shapes[0].fields.eventType"),
        (wrong('Id = "acd.id"', "Id = { value = true }"), "shapes[0].fields.interactionId"),
        (wrong('Id = "acd.id"', 'Id = { value = "" }'), "shapes[0].fields.interactionId"),
        (wrong('Id = "acd.id"', f"Id = {{ value = {2**63} }}"), "shapes[0].fields.interactionId"),
        (wrong('Id = ["acd.master", "acd.id"]', "Id = { value = { a = 1 } }"), "shapes[0].fields.conversationId"),
        (wrong('payload = "acd"', 'payload = { path = "x", default = "y" }'), "shapes[0].fields.payload"),
        (wrong('payload = "acd"', f"payload = {{ value = {{ n = [{-(2**63) - 1}] }} }}"), "shapes[0].fields.payload"),
        (wrong('payload = "acd"', "payload = { value = { t = 07:32:00 } }"), "shapes[0].fields.payload"),
        (wrong('payload = "acd"', "payload = { value = { x = nan } }"), "shapes[0].fields.payload"),
        (wrong('payload = "acd"', f"payload = {{ value = {{ {'a.' * 999}a = 1 }} }}"), "shapes[0].fields.payload"),
        (wrong('Started = "interaction.created"', 'Started = "a\\u0007"'), "shapes[0].event_types.Started"),
        ('[event_types]\nA = "a\\nb"\n', "event_types.A"),
        ('[metadata]\nreplayed = "x"\n', "metadata.replayed"),
        ('[metadata]\ntraceparent = "x"\n', "metadata.traceparent"),
        (f"[metadata]\nn = {2**63}\n", "metadata.n"),
        (f"[metadata]\nn = {10**20}\n", "metadata.n"),
        ("[metadata]\nn = inf\n", "metadata.n"),
        ("[metadata]\nn = { a = 1 }\n", "metadata.n"),
        (wrong('timestamp = "when"', "timestamp = {}"), "shapes[0].fields.timestamp"),
        (wrong('default = "conversation.updated"', "default = 7"), "shapes[0].fields.eventType"),
        (wrong('path = "kind", default', "path = 'kind', value"), "shapes[0].fields.eventType"),
        (wrong('name = "acd"', 'name = "acd"\nwhen_not = 1'), "shapes[0].when_not"),
        (wrong('when = ["acd.id", "kind"]', ""), "shapes[0].when"),
        ('[[shapes]]\nname = "unheard"\n', "shapes[0].fields"),
        ('naive_zone = "Mars/Olympus"\n' + SHAPE, "naive_zone"),
        ("naive_zone = 3\n" + SHAPE, "naive_zone"),
        ('shape = "unheard"\n' + SHAPE, "shape"),
        ('[metadata]\nregion = "x"\n', "metadata.region"),
        ("[event_types]\nA = ''\n", "event_types.A"),
        ('[event_types]\nA = "stream_router.probe"\n', "event_types.A"),
        (wrong('"conversation.updated"', '"stream_router.probe"'), "shapes[0].fields.eventType"),
        ("surprise = true\n", "surprise"),
        ("shape = \n", "is no TOML"),
        ("[metadata]\nn = " + "1" * 5_000, "is no TOML"),
        ("shape = " + "[" * 5_000 + "]" * 5_000, "is no TOML"),
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


def test_missing_file_is_named() -> None:
    """A file that is not there is a wrong setting, not a traceback."""
    with pytest.raises(SettingsError, match=r"STREAM_ROUTER_CONFIG: /nowhere.toml: cannot be read"):
        config_file.load(Path("/nowhere.toml"))


def test_the_table_of_cxone_sources_is_let_pass(tmp_path: Path) -> None:
    """One file serves both: what `cxone sources` reads does not stop the consumer."""
    path = tmp_path / "router.toml"
    path.write_text('[[cxone.sources]]\nname = "a"\ntype = "webhook"\n')
    assert config_file.load(path) is not None


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
