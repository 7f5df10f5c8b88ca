"""Config file of `STREAM_ROUTER_CONFIG`: more shapes, renamed event types, zone of naive timestamps, more metadata."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import orjson
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from stream_router import limits
from stream_router.errors import SettingsError, first_validation_error
from stream_router.model import PROBE_TYPE
from stream_router.pipeline.mapping import timestamps
from stream_router.pipeline.mapping.shapes import (
    DEFAULT,
    EXPERT_SHAPE,
    MISSING,
    RECEIVED,
    Configured,
    FieldOrigin,
    Shape,
    check_fields,
    parse_path,
    source,
)
from stream_router.settings import files
from stream_router.settings.files import CheckedTable

VARIABLE = "STREAM_ROUTER_CONFIG"
RECEIVED_AT = "receivedAt"
"""Default of a timestamp that gives an event without a timestamp the time of its receipt."""

OWN_METADATA = frozenset({"enrichmentPipeline", "complianceTag", "region", "maskingPolicy", "replayed", "traceparent"})
"""Fields of an event's metadata that the pipeline sets. The file may not set them."""

# --- constants and defaults: checked at start like values of events, since otherwise no event would pass

_GOOD = {"interactionId": "i", "conversationId": "c", "eventType": "t", "timestamp": "", "payload": {}}
"""Valid value of each of our fields, for a check of one other value among them."""


def _check_field(name: str, value: object) -> None:
    """Raise ValueError if an event with `value` for our field `name` would be refused. It does not quote the value."""
    _check_json(value)
    try:
        check_fields({**_GOOD, name: value})
    except ValidationError as error:
        raise ValueError(f"its value or default: {first_validation_error(error)['msg']}") from None
    if name == "eventType":
        _event_type(str(value))
    if name == "timestamp":
        try:
            timestamps.to_utc(value, None)
        except (ValueError, OverflowError):
            raise ValueError("its default is not a timestamp that can be read") from None


def _check_json(value: object) -> object:
    """Return the value. Raise ValueError if JSON does not preserve it, or EventBridge would refuse it."""
    try:
        is_same = orjson.loads(orjson.dumps(value, None, orjson.OPT_STRICT_INTEGER)) == value
    except TypeError:
        is_same = False
    if not is_same:
        raise ValueError(
            "nests too deep, or contains inf, nan, a date or time that is not text, or an integer of more than 53 bits"
        )
    return value


def _event_type(value: str) -> str:
    """Return the event type. Raise ValueError if no event may have it."""
    if not value.isprintable():
        raise ValueError("holds a control character, which no event type may")
    if value == PROBE_TYPE:
        raise ValueError("is doctor's own, which comes out at no target")
    return value


def _plain(value: object) -> object:
    """Return a constant of the metadata. Raise ValueError if it is a table, a list or no JSON value."""
    if isinstance(value, dict | list):
        raise ValueError("is neither text nor a number or boolean")  # noqa: TRY004 - pydantic's way
    return _check_json(value)


# --- the file's tables

EventType = Annotated[
    str, StringConstraints(min_length=1, max_length=limits.DETAIL_TYPE_MAX_CHARS), AfterValidator(_event_type)
]


def _zone(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("is not the name of a time zone, for example Europe/Berlin")  # noqa: TRY004 - pydantic's way
    try:
        return UTC if value == "UTC" else ZoneInfo(value)
    except (OSError, ValueError, KeyError):
        raise ValueError("is not a time zone known on this machine (pip install tzdata brings them all)") from None


def _steps(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("is not a dotted path")  # noqa: TRY004 - pydantic's way
    return parse_path(value)


def _as_table(value: object) -> object:
    """Return `{ path = … }` for its short forms, a path and a list of paths."""
    if isinstance(value, str):
        return {"path": [value]}
    if isinstance(value, list):
        return {"path": value}
    if isinstance(value, dict) and isinstance(value.get("path"), str):
        return {**value, "path": [value["path"]]}
    return value


Zone = Annotated[Any, BeforeValidator(_zone)]
Constant = Annotated[Any, AfterValidator(_plain)]
PathSteps = Annotated[Any, BeforeValidator(_steps)]


class FieldTable(CheckedTable):
    """Source of one of our fields: the first path that leads to a value, otherwise the default."""

    path: tuple[PathSteps, ...] = ()
    default: Any = MISSING
    value: Any = MISSING

    @model_validator(mode="after")
    def _has_a_source(self) -> "FieldTable":
        if self.value is not MISSING and (self.path or self.default is not MISSING):
            raise ValueError("`value` is a constant and goes with no path or default")
        if not self.path and self.default is MISSING and self.value is MISSING:
            raise ValueError("needs a path, a value or a default")
        return self

    def source(self) -> FieldOrigin:
        return FieldOrigin(self.path, self.value if self.value is not MISSING else self.default)


FieldSource = Annotated[FieldTable, BeforeValidator(_as_table)]


class FieldsTable(CheckedTable):
    """Sources of our five fields. Conversation and payload are optional; the default payload is the whole event."""

    interactionId: FieldSource  # noqa: N815 - the contract's names
    conversationId: FieldSource | None = None  # noqa: N815
    eventType: FieldSource  # noqa: N815
    timestamp: FieldSource
    payload: FieldSource | None = None

    def sources(self) -> Mapping[str, FieldOrigin]:
        """Return the origin of each field by its name. Without a conversation in the event the field is None."""
        sources = {
            name: table.source() for name in type(self).model_fields if (table := getattr(self, name)) is not None
        }
        conversation = sources.get("conversationId", source())
        if conversation.default is MISSING:
            sources["conversationId"] = dataclasses.replace(conversation, default=None)
        return {"payload": source("$"), **sources}

    @field_validator("*")
    @classmethod
    def _constant_fits(cls, table: FieldTable | None, field: ValidationInfo) -> FieldTable | None:
        """Return a field's table, with RECEIVED for the default `receivedAt`. Raise ValueError for a bad constant."""
        name = str(field.field_name)
        if table is None:
            return None
        if name == "timestamp" and table.value is not MISSING:
            raise ValueError("takes a path, not a constant value")
        if name == "timestamp" and table.default == RECEIVED_AT:
            table = table.model_copy(update={"default": RECEIVED})
        constant = table.source().default
        if constant is not MISSING and constant is not RECEIVED:
            _check_field(name, constant)
        return table


class ShapeTable(CheckedTable):
    """A new shape; with a preset's name and without fields, changes to the preset."""

    name: str = Field(min_length=1, max_length=64)
    when: tuple[PathSteps, ...] = ()
    fields: FieldsTable | None = None
    event_types: dict[str, EventType] = Field(default_factory=dict)
    naive_zone: Zone = None


class MappingFile(CheckedTable):
    """Tables of the whole file."""

    shape: str = "auto"
    naive_zone: Zone = UTC
    shapes: tuple[ShapeTable, ...] = ()
    event_types: dict[str, EventType] = Field(default_factory=dict)
    metadata: dict[str, Constant] = Field(default_factory=dict)
    cxone: dict[str, Any] = Field(default_factory=dict)
    """Table for `stream-router cxone sources`, which reads and checks it. Here only its presets are used."""


def load(path: Path | None) -> Configured:
    """Read the file, or the presets alone if there is none. Raises SettingsError, which names the failing key."""
    document = files.read_toml(path, VARIABLE, MappingFile) if path else MappingFile()
    if clash := OWN_METADATA.intersection(document.metadata):
        raise _wrong_key(path, f"metadata.{min(clash)}", "is set by the pipeline itself", "choose another name")
    own, presets = [], {shape.name: shape for shape in PRESETS}
    for at, table in enumerate(document.shapes):
        # A shape with a preset's name takes the preset's turn. All other shapes are tried before the presets.
        shape = _shape(table, presets, path, f"shapes[{at}]")
        if shape.name in presets:
            presets[shape.name] = shape
        else:
            own.append(shape)
    shapes = [_with_defaults(shape, document) for shape in (*own, *presets.values())]
    if document.shape != "auto":
        shapes = [shape for shape in shapes if shape.name == document.shape]
        if not shapes:
            raise _wrong_key(path, "shape", "names no shape", "set `auto`, a preset, or one of your shapes")
    sources = _sources(document, {shape.name for shape in shapes} | {EXPERT_SHAPE.name}, path)
    return Configured(tuple(shapes), document.metadata, sources, _with_defaults(EXPERT_SHAPE, document))


def _sources(document: MappingFile, known: set[str], path: Path | None) -> Mapping[str, str | None]:
    """Return the preset of each of `[[cxone.sources]]` by its name. The receiver checks the rest of that table."""
    preset_by_source: dict[str, str | None] = {}
    tables = document.cxone.get("sources")
    for at, table in enumerate(tables if isinstance(tables, list) else ()):
        if isinstance(table, dict) and isinstance(table.get("name"), str):
            preset = table.get("preset")
            if preset is not None and preset not in known:
                key = f"cxone.sources[{at}].preset"
                raise _wrong_key(path, key, "names no shape", "set a preset, or one of your shapes")
            preset_by_source[table["name"]] = preset
    return preset_by_source


def _shape(table: ShapeTable, presets: Mapping[str, Shape], path: Path | None, key: str) -> Shape:
    """Return the shape of a table: a new one, or a preset with changes if the table has a preset's name and no fields.

    `key` is the table's key in the file `path`, for errors. Raises SettingsError.
    """
    zone: tzinfo | None = table.naive_zone
    preset = presets.get(table.name)
    if table.fields is None:
        if preset is None:
            problem = "is missing, and there is no preset of this name"
            raise _wrong_key(path, f"{key}.fields", problem, "set it, or correct the name")
        return dataclasses.replace(
            preset,
            when=table.when or preset.when,
            event_types={**preset.event_types, **table.event_types},
            zone=zone or preset.zone,
        )
    if not table.when:
        raise _wrong_key(path, f"{key}.when", "is missing", "name the paths by which such an event is known")
    return Shape(table.name, table.when, table.fields.sources(), table.event_types, zone)


def _with_defaults(shape: Shape, document: MappingFile) -> Shape:
    """Return the shape with the file's names of event types, which have precedence, and its zone if it has none."""
    types = {**shape.event_types, **document.event_types}
    return dataclasses.replace(shape, event_types=types, zone=shape.zone or document.naive_zone)


def _wrong_key(path: Path | None, key: str, problem: str, cure: str) -> SettingsError:
    return SettingsError(VARIABLE, problem, cure, place=(str(path), key))


def _presets() -> tuple[Shape, ...]:
    """Return the built-in shapes in the order in which they are tried."""
    path = Path(__file__).with_name("presets.toml")
    document = files.read_toml(path, "presets", MappingFile)
    shapes = [dataclasses.replace(_shape(table, {}, path, table.name), is_preset=True) for table in document.shapes]
    types = shapes[0].event_types
    # All shapes of CXone digital share the event types of the first one.
    prefix = shapes[0].name
    with_types = [
        dataclasses.replace(shape, event_types=types) if shape.name.startswith(prefix) else shape for shape in shapes
    ]
    return DEFAULT, *with_types


PRESETS = _presets()
DIGITAL_TYPES = PRESETS[1].event_types
"""Names on the bus of the event types that NICE documents for CXone digital. Some keep their name.

The first preset is the default shape, the second the first shape of CXone digital.
"""
