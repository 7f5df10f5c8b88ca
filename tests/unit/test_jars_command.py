"""`jars`: each jar is proved by its SHA-256, comes from cache, repository or folder, and is whole or not there."""

import base64
import hashlib
import shutil
import site
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_router.consumer.supervisor import jars, properties
from stream_router.consumer.supervisor.jars import Jar
from stream_router.errors import SettingsError
from stream_router.operate import jars as fetch_jars
from tests.raw_server import RawServer, Seen, answer

CONTENTS = {f"part-{number}": f"jar number {number}".encode() * 100 for number in range(6)}
LIST = tuple(
    Jar(hashlib.sha256(content).hexdigest(), len(content), "org.example.deep", name, "1.0")
    for name, content in CONTENTS.items()
)


class Repository(RawServer):
    """A Maven repository on loopback; `broken` says what becomes of the first answers."""

    def __init__(self) -> None:
        super().__init__(self._give)
        self.broken: list[str] = []
        self.source = f"http://us%3Aer:c4n4ry%40@127.0.0.1:{self.port}/maven"

    def _give(self, seen: Seen) -> bytes:
        content = CONTENTS[seen.line.split("/")[-4]]
        mode = self.broken.pop(0) if self.broken else "whole"
        value = {"cut": content[:-5], "other": content[::-1]}.get(mode, content)
        return answer(int(mode) if mode.isdigit() else 200, value)


@pytest.fixture
def repository() -> Iterator[Repository]:
    with Repository() as result:
        yield result


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation without jars, a user without a cache."""
    monkeypatch.setattr(jars, "list_jars", lambda: LIST)
    monkeypatch.setattr(jars, "folders", lambda: iter([tmp_path / "prefix" / "jars", tmp_path / "user" / "jars"]))
    monkeypatch.setattr(fetch_jars, "FIRST_WAIT_S", 0.01)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "prefix" / "jars"


def test_every_jar_comes_whole_and_is_fetched_once(
    repository: Repository, installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second run asks nobody, nor does another installation, whose jars come from the user's cache."""
    repository.broken = ["429", "503", "500"]
    assert fetch_jars.run(repository.source) == 0
    assert {path.name: path.read_bytes() for path in installed.iterdir()} == {
        jar.name: CONTENTS[jar.artifact] for jar in LIST
    }
    assert len(repository.requests) == len(LIST) + 3, "a repository that stumbles is asked again"
    word = base64.b64encode(b"us:er:c4n4ry@").decode()
    asked = [(seen.line.split(" ")[1], seen.headers["authorization"]) for seen in repository.requests]
    assert ("/maven/org/example/deep/part-0/1.0/part-0-1.0.jar", f"Basic {word}") in asked
    repository.requests.clear()
    assert fetch_jars.run(repository.source) == 0
    assert not repository.requests
    shutil.rmtree(installed)
    next((installed.parents[1] / "cache" / "stream_router" / "jars").iterdir()).write_bytes(b"damaged")
    assert fetch_jars.run(repository.source) == 0
    assert len(repository.requests) == 1, "a cache that was damaged is not believed"
    assert "c4n4ry" not in "".join(capsys.readouterr()), "a mirror's password is sent and not said"


@pytest.mark.parametrize(("manner", "output"), [("cut", "(SHA-256)"), ("other", "(SHA-256)"), ("404", "(HTTP 404)")])
def test_another_content_or_none_is_one_line_and_nothing_is_kept(
    repository: Repository, installed: Path, capsys: pytest.CaptureFixture[str], manner: str, output: str
) -> None:
    """Whoever sits between us and Maven Central cannot give us a jar; who lacks it is not asked four times."""
    repository.broken = [manner] * 100
    assert fetch_jars.run(repository.source) == 1
    printed = capsys.readouterr().err
    assert (printed.startswith("stream-router jars: part-"), printed.count("\n"), output in printed) == (True, 1, True)
    assert "c4n4ry" not in printed
    assert len(repository.requests) <= len(LIST)
    assert not list(installed.parents[1].rglob("*.jar"))


@pytest.mark.parametrize("layout", ["name", "path"])
@pytest.mark.usefixtures("installed")
def test_a_folder_does_as_well(tmp_path: Path, layout: str) -> None:
    """For a host without any network: a copy of another host's jars, or of its Maven repository."""
    for jar in LIST:
        path = tmp_path / "media" / str(getattr(jar, layout))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENTS[jar.artifact])
    assert fetch_jars.run(str(tmp_path / "media")) == 0
    jars.check_jars_are_whole()


def test_a_folder_that_is_not_ours_is_never_passed_over(
    repository: Repository, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`consume` reads the first folder that is there: jars in another help nobody. Whole ones need no write."""
    fetch_jars.run(repository.source)
    repository.requests.clear()
    monkeypatch.setattr("os.access", lambda path, _: path != installed)
    assert fetch_jars.run(repository.source) == 0
    (installed / LIST[0].name).write_bytes(b"")
    with pytest.raises(SettingsError, match=rf"^KCL daemon: .*{installed}\); run this as the user who installed"):
        fetch_jars.run(repository.source)
    assert not repository.requests
    assert not (installed.parents[1] / "user").exists()


@pytest.mark.parametrize("where", ["user/lib/python3/site-packages", "target"])
def test_a_package_takes_the_data_of_its_own_version(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever way pip put it there, it runs with no other version's properties or jars."""
    own = tmp_path / where.partition("/")[0] / "share/stream_router"
    for share in (own, tmp_path / "system/share/stream_router"):
        (share / "jars").mkdir(parents=True)
        (share / "consumer.properties").touch()
    monkeypatch.setattr(sysconfig, "get_path", {"data": str(tmp_path / "system")}.__getitem__)
    monkeypatch.setattr(site, "getuserbase", lambda: str(tmp_path / "user"))
    for module in (jars, properties):
        monkeypatch.setattr(module, "__file__", str(tmp_path / where / "stream_router/consumer/supervisor/jars.py"))
    assert (properties.shipped("consumer.properties"), jars.folder()) == (own / "consumer.properties", own / "jars")
