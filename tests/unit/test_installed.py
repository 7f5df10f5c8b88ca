"""What came with the package is looked for where pip put it, whatever way it was installed."""

import site
import sysconfig
from pathlib import Path

import pytest

from stream_router.consumer.supervisor import jars, properties

MODULE = Path("stream_router/consumer/supervisor/jars.py")


@pytest.fixture
def bases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A system's base and a user's, each with the data of a version in it."""
    system, user = tmp_path / "system", tmp_path / "user"
    for base in (system, user):
        share = base / "share" / "stream_router"
        (share / "jars").mkdir(parents=True)
        (share / "consumer.properties").touch()
    monkeypatch.setattr(sysconfig, "get_path", {"data": str(system)}.__getitem__)
    monkeypatch.setattr(site, "getuserbase", lambda: str(user))
    return system, user


@pytest.mark.parametrize("which", [0, 1], ids=["system", "user"])
def test_a_package_takes_the_data_of_its_own_version(
    bases: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    """Where the system has one version and the user another, neither runs with the other's properties or jars."""
    base = bases[which]
    packages = base / "lib" / "python3" / "site-packages"
    for module in (jars, properties):
        monkeypatch.setattr(module, "__file__", str(packages / MODULE))
    assert properties.shipped("consumer.properties") == base / "share" / "stream_router" / "consumer.properties"
    assert jars.folder() == base / "share" / "stream_router" / "jars"


def test_a_target_s_own_data_comes_before_any_other(bases: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """`pip install --target` puts code and data into one folder; there is nothing beside the code otherwise."""
    target = bases[0].parent / "target"
    monkeypatch.setattr(jars, "__file__", str(target / MODULE))
    assert set(jars.shares()) == {base / "share" / "stream_router" for base in bases}
    (target / "share" / "stream_router").mkdir(parents=True)
    assert next(jars.shares()) == target / "share" / "stream_router"
