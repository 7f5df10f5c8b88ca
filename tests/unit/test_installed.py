"""What came with the package is looked for where pip put it, whatever way it was installed."""

import errno
import os
import site
import sysconfig
from pathlib import Path
from typing import Any

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


def test_data_that_debian_s_pip_puts_under_local_is_found(
    bases: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its Python's prefix is /usr, and its pip installs into /usr/local: `sysconfig` tells where."""
    for module in (jars, properties):
        monkeypatch.setattr(module, "__file__", str(bases[0] / "lib" / "python3" / "dist-packages" / MODULE))
    monkeypatch.setattr("sys.prefix", str(bases[0].parent))
    assert properties.shipped("consumer.properties").is_relative_to(bases[0])
    assert jars.folder().is_relative_to(bases[0])


def test_a_target_s_own_data_comes_before_any_other(bases: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """`pip install --target` puts code and data into one folder; there is nothing beside the code otherwise."""
    target = bases[0].parent / "target"
    monkeypatch.setattr(jars, "__file__", str(target / MODULE))
    assert set(jars.shares()) == {base / "share" / "stream_router" for base in bases}
    (target / "share" / "stream_router").mkdir(parents=True)
    assert next(jars.shares()) == target / "share" / "stream_router"


def test_a_folder_that_this_user_may_not_look_into_is_passed_over(
    bases: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the code, or one of the places behind it: somebody else's `share` of mode 0700 is no reason to end."""
    target = bases[0].parent / "target"
    for module in (jars, properties):
        monkeypatch.setattr(module, "__file__", str(target / MODULE))
    stat = os.stat

    def refused(path: Any, **more: Any) -> os.stat_result:
        if Path(path).is_relative_to(target / "share") or Path(path).is_relative_to(bases[0] / "share"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return stat(path, **more)

    monkeypatch.setattr(os, "stat", refused)
    assert set(jars.shares()) == {base / "share" / "stream_router" for base in bases}
    assert properties.shipped("consumer.properties") == bases[1] / "share" / "stream_router" / "consumer.properties"
