"""A named source's signature settings are those of the environment: the same names, bounds and defaults."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stream_router.errors import SettingsError
from stream_router.pipeline.mapping.config_file import MappingFile
from stream_router.receiver import auth, sources
from stream_router.settings.receiver import Receiver, Signature
from stream_router.settings.sources import Document, Posted, read

SOURCE = """
[[cxone.sources]]
name = "a"
type = "webhook"
url = "https://x"
scheme = "hmac"
secrets = "a webhook secret of some length"
"""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Receiver]:
    """With these lines in the file and these settings beside it: by which the source's sender is known."""
    made: list[Receiver] = []
    make = auth.make

    def noted(settings: Receiver) -> Any:
        made.append(settings)
        return make(settings)

    monkeypatch.setattr(auth, "make", noted)

    def one(given: str, source: str = SOURCE, **environment: object) -> Receiver:
        config = tmp_path / "config.toml"
        config.write_text(source + given)
        sources.of(Receiver.model_validate({"aws_region": "x", "config": config, **environment}))
        return made[-1]

    return one


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hmac_template", "{ts}.{body}"),
        ("hmac_algorithm", "md5"),
        ("hmac_encoding", "base32"),
        ("hmac_header", ""),
        ("replay_window_s", 0),
        ("replay_window_s", 86_401),
    ],
)
def test_what_the_environment_refuses_a_named_source_refuses(
    served: Callable[..., Receiver], name: str, value: object
) -> None:
    """A template that no sender signs would make each delivery a 401."""
    with pytest.raises(ValidationError, match=name):
        Receiver.model_validate({"aws_region": "x", name: value})
    with pytest.raises(SettingsError, match=rf"STREAM_ROUTER_CONFIG: .*: cxone.sources.0.*{name}"):
        served(f"{name} = {value!r}\n")


def test_signature_settings_are_declared_once() -> None:
    """What one of them takes, or has where nothing is given, the other does too."""
    for name, field in Signature.model_fields.items():
        for kind in (Receiver, Posted):
            found = kind.model_fields[name]
            assert (found.annotation, found.default, found.metadata) == (
                field.annotation,
                field.default,
                field.metadata,
            )


@pytest.mark.parametrize(("given", "window_s"), [("", 77), ("replay_window_s = 300\n", 300)])
def test_the_replay_window_is_the_environment_s_unless_the_source_has_one(
    served: Callable[..., Receiver], given: str, window_s: int
) -> None:
    """Also where it gives what the environment's default is."""
    assert served(given, replay_window_s=77).replay_window_s == window_s


def test_a_source_that_gives_nothing_has_the_defaults_and_not_the_environment_s(
    served: Callable[..., Receiver],
) -> None:
    """The environment's are its own sender's."""
    own = served("", hmac_header="x-other", hmac_template="{timestamp}.{body}", hmac_timestamp_header="x-t")
    assert auth.own_layout(own) == auth.own_layout(Receiver.model_validate({"aws_region": "x"}))


def test_a_table_that_is_mistyped_is_refused(tmp_path: Path) -> None:
    """The receiver would serve none of the sources, and say nothing."""
    config = tmp_path / "config.toml"
    config.write_text(SOURCE.replace("cxone", "cxoen"))
    with pytest.raises(SettingsError, match=r"^STREAM_ROUTER_CONFIG: .*: cxoen: is no key .*; did you mean cxone\?$"):
        read(config)
    config.write_text(SOURCE.replace("sources", "source"))
    with pytest.raises(
        SettingsError, match=r"^STREAM_ROUTER_CONFIG: .*: cxone\.source: is no .*; did you mean sources\?$"
    ):
        read(config)


def test_the_keys_of_the_consumer_are_known(tmp_path: Path) -> None:
    """The two programs may have one file: what one takes for a key the other does too."""
    config = tmp_path / "config.toml"
    config.write_text('shape = "auto"\nnaive_zone = "UTC"\n[event_types]\n[metadata]\n[[shapes]]\n' + SOURCE)
    assert [source.name for source in read(config)] == ["a"]
    assert {*Document.model_fields} == {*MappingFile.model_fields}


def test_a_place_of_a_secret_with_a_zero_byte_is_one_line(served: Callable[..., Receiver]) -> None:
    """No environment holds such a path, and a TOML file may."""
    with pytest.raises(SettingsError, match=r"^STREAM_ROUTER_CONFIG: .*its file cannot be read \(no such path\); "):
        served("", source=SOURCE.replace("a webhook secret of some length", "file:/a\\u0000b"))
