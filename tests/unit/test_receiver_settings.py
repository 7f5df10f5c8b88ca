"""What cannot be served with is one line before anything starts; a named source's settings are the environment's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stream_router.errors import SettingsError
from stream_router.pipeline.mapping.config_file import MappingFile
from stream_router.receiver import auth, sources
from stream_router.settings.receiver import Receiver
from stream_router.settings.sources import Document, read

SOURCE = """
[[cxone.sources]]
name = "a"
type = "webhook"
url = "https://x"
scheme = "hmac"
secrets = "a:webhook secret of some length"
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

    def one(lines: str, source: str = SOURCE, **environment: object) -> Receiver:
        config = tmp_path / "config.toml"
        config.write_text(source + lines)
        sources.of(Receiver.model_validate({"aws_region": "x", "config": config, **environment}))
        return made[-1]

    return one


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hmac_template", "{ts}.{body}"),
        ("hmac_algorithm", "md5"),
        ("replay_window_s", 86_401),
    ],
)
def test_what_the_environment_refuses_a_named_source_refuses(
    served: Callable[..., Receiver], name: str, value: object
) -> None:
    """A template that no sender signs would make each delivery a 401."""
    with pytest.raises(SettingsError, match=rf"STREAM_ROUTER_CONFIG: .*: cxone.sources.0.*{name}"):
        served(f"{name} = {value!r}\n")
    with pytest.raises(ValidationError, match=name):
        Receiver.model_validate({"aws_region": "x", name: value})


def test_a_named_source_has_the_defaults_and_the_environment_s_replay_window(served: Callable[..., Receiver]) -> None:
    """The environment's signature is its own sender's; the window is everybody's, unless the source gives one, also
    where that is the default."""
    own = served("", hmac_header="x-other", hmac_template="{timestamp}.{body}", hmac_timestamp_header="x-t")
    assert auth.own_layout(own) == auth.own_layout(Receiver.model_validate({"aws_region": "x"}))
    assert served("", replay_window_s=77).replay_window_s == 77
    assert served("replay_window_s = 300\n", replay_window_s=77).replay_window_s == 300


@pytest.mark.parametrize("scheme", ["bearer", "basic"])
def test_a_source_that_sends_its_secret_as_it_is_needs_tls(served: Callable[..., Receiver], scheme: str) -> None:
    """Ours, or that of a proxy in front: else anyone on the way could read it."""
    source = SOURCE.replace("hmac", scheme)
    with pytest.raises(SettingsError, match=r"cxone.sources a: scheme: .* over plain HTTP"):
        served("", source, listen="0.0.0.0:80")
    served("", source, listen="0.0.0.0:80", trusted_proxies="10.0.0.0/8")


def test_the_keys_of_the_consumer_are_known(tmp_path: Path) -> None:
    """The two programs may have one file: what one takes for a key the other does too."""
    config = tmp_path / "config.toml"
    config.write_text('shape = "auto"\nnaive_zone = "UTC"\n[event_types]\n[metadata]\n[[shapes]]\n' + SOURCE)
    assert [source.name for source in read(config)] == ["a"]
    assert {*Document.model_fields} == {*MappingFile.model_fields}
