"""`jars`: each jar is proved by its SHA-256, comes from cache, repository or folder, and is whole or not there."""

import base64
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_router.consumer.supervisor import jars
from stream_router.consumer.supervisor.jars import Jar
from stream_router.errors import SettingsError
from stream_router.operate import jars as fetch_jars

CONTENTS = {f"part-{number}": f"jar number {number}".encode() * 100 for number in range(6)}
LIST = tuple(
    Jar(hashlib.sha256(content).hexdigest(), len(content), "org.example.deep", name, "1.0")
    for name, content in CONTENTS.items()
)


class Repository(http.server.BaseHTTPRequestHandler):
    """A Maven repository on loopback; `broken` says what becomes of the first answers."""

    broken: list[str]
    asked: list[str]
    authorization: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.authorization.append(self.headers.get("Authorization", ""))
        content = CONTENTS[self.path.split("/")[-3]]
        how = self.broken.pop(0) if self.broken else "whole"
        if how.isdigit():
            self.send_error(int(how))
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write({"cut": content[:-5], "other": content[::-1]}.get(how, content))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def repository() -> Iterator[str]:
    Repository.broken, Repository.asked, Repository.authorization = [], [], []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Repository) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/maven"
        server.shutdown()


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation without jars, a user without a cache."""
    monkeypatch.setattr(jars, "listed", lambda: LIST)
    monkeypatch.setattr(jars, "folders", lambda: iter([tmp_path / "prefix" / "jars", tmp_path / "user" / "jars"]))
    monkeypatch.setattr(fetch_jars, "FIRST_WAIT_S", 0.01)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "prefix" / "jars"


def fetch(source: str) -> int:
    return fetch_jars.run(source)


def test_every_jar_comes_whole(repository: str, installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the repository's layout; a second run asks nobody."""
    assert fetch(repository) == 0
    assert {path.name: path.read_bytes() for path in installed.iterdir()} == {
        jar.name: CONTENTS[jar.artifact] for jar in LIST
    }
    assert "/maven/org/example/deep/part-0/1.0/part-0-1.0.jar" in Repository.asked
    assert "6 jars of the KCL daemon are whole in " in capsys.readouterr().out
    Repository.asked.clear()
    assert fetch(repository) == 0
    assert not Repository.asked


def test_another_installation_takes_them_from_the_users_cache(
    repository: str, installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So a new environment needs no network; a cache that was damaged is not believed."""
    fetch(repository)
    for path in installed.iterdir():
        path.unlink()
    next((installed.parents[1] / "cache" / "stream_router" / "jars").iterdir()).write_bytes(b"damaged")
    Repository.asked.clear()
    assert fetch(repository) == 0
    assert len(Repository.asked) == 1
    assert "5 from the cache, 1 fetched" in capsys.readouterr().out


def test_a_repository_that_stumbles_is_asked_again(repository: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Too many requests, and an error of the server, are over soon. That it is waited for is said."""
    Repository.broken = ["429", "503", "500"]
    assert fetch(repository) == 0
    assert len(Repository.asked) == len(LIST) + 3
    again = [line for line in capsys.readouterr().out.splitlines() if line.endswith("; trying again")]
    assert sorted(line.partition(": ")[2] for line in again) == [f"HTTP {n}; trying again" for n in (429, 500, 503)]


@pytest.mark.parametrize("how", ["cut", "other"])
def test_another_content_is_refused_and_not_kept(
    repository: str, installed: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    """Whoever sits between us and Maven Central cannot give us a jar."""
    Repository.broken = [how] * 100
    assert fetch(repository) == 1
    said = capsys.readouterr()
    assert said.err.startswith("stream-router jars: part-")
    assert said.err.count("\n") == 1
    assert not list(installed.iterdir())
    assert not (installed.parents[1] / "cache").exists() or not list((installed.parents[1] / "cache").rglob("*.jar"))


def test_a_jar_that_is_not_there_is_one_line(repository: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A mirror that lacks it says no at once: it is not asked four times."""
    Repository.broken = ["404"] * 100
    assert fetch(repository) == 1
    said = capsys.readouterr().err
    assert "(HTTP 404); check the network" in said
    assert "--from" in said
    assert len(Repository.asked) <= len(LIST)


def test_a_mirrors_password_is_sent_and_not_said(repository: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It goes into the header as it is, and into no line."""
    assert fetch(repository.replace("//", "//us%3Aer:c4n4ry%40@")) == 0
    assert set(Repository.authorization) == {"Basic " + base64.b64encode(b"us:er:c4n4ry@").decode()}
    Repository.broken = ["404"] * 100
    (next(jars.folders()) / LIST[0].name).unlink()
    fetch(repository.replace("//", "//us%3Aer:c4n4ry%40@"))
    assert "c4n4ry" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("layout", ["flat", "maven"])
def test_a_folder_does_as_well(tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a host without any network: a copy of another host's jars, or of its Maven repository."""
    for jar in LIST:
        path = tmp_path / "media" / (jar.path if layout == "maven" else jar.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENTS[jar.artifact])
    assert fetch_jars.run(str(tmp_path / "media")) == 0
    jars.prove_whole()


@pytest.mark.parametrize("source", ["ftp://mirror.example/maven", "https://[::1"])
def test_a_source_that_is_none_is_refused(source: str) -> None:
    """By the setting's name."""
    with pytest.raises(SettingsError, match=r"^--from: is no URL of a Maven repository and no folder; "):
        fetch(source)


@pytest.mark.parametrize("how", ["whole", "damaged"])
def test_a_folder_that_is_not_ours_is_never_passed_over(
    repository: str, installed: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """`consume` reads the first folder that is there: jars in another help nobody. Whole ones need no write."""
    fetch(repository)
    if how == "damaged":
        (installed / LIST[0].name).write_bytes(b"")
    Repository.asked.clear()
    monkeypatch.setattr("os.access", lambda path, _: path != installed)
    if how == "whole":
        assert fetch(repository) == 0
    else:
        with pytest.raises(SettingsError, match=rf"^KCL daemon: .*{installed}\); run this as the user who installed"):
            fetch(repository)
    assert not Repository.asked
    assert not (installed.parents[1] / "user").exists()
