"""A setting that got another name works under both for one minor version: tried with a row that is made up."""

import logging
from importlib import metadata
from pathlib import Path
from typing import cast

import pytest

from stream_router.consumer.supervisor.daemon import jvm_command
from stream_router.control import config_report
from stream_router.control.doctor.checks import host
from stream_router.control.doctor.world import World
from stream_router.errors import SettingsError
from stream_router.settings import renamed
from stream_router.settings.consumer import Consumer
from stream_router.settings.environment import names
from stream_router.settings.environment.reading import load, warn_of_names
from stream_router.settings.receiver import Receiver
from stream_router.settings.renamed import Renamed
from stream_router.settings.setup import Setup
from tests.unit import test_settings
from tests.unit.test_settings import CONSUMER, RECEIVER, SETUP, given

empty_environment = test_settings.empty_environment

ROW = Renamed("STREAM_ROUTER_CHECKPOINT_EVERY_S", "STREAM_ROUTER_CHECKPOINT_S", "0.7")
OLD = {**CONSUMER, ROW.old: "2.5"}


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that has renamed a setting, and one with a name of its own."""
    monkeypatch.setattr(renamed, "RENAMED", (ROW, Renamed("DLQ_URL", "SQS_DLQ_URL", "0.7")))


@pytest.mark.parametrize("name", [ROW.old, ROW.old.lower()])
def test_the_old_name_works(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """In whatever case; to the programs that do not read it it is known all the same."""
    given(monkeypatch, {**CONSUMER, name: "2.5"})
    assert load(Consumer).checkpoint_s == 2.5
    given(monkeypatch, {**RECEIVER, **SETUP, name: "2.5"})
    load(Receiver)
    load(Setup)


def test_a_name_without_our_prefix_can_be_old_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As SQS_DLQ_URL is named."""
    given(monkeypatch, {"AWS_REGION": "us-east-1", "DLQ_URL": CONSUMER["SQS_DLQ_URL"]})
    assert load(Consumer).sqs_dlq_url == CONSUMER["SQS_DLQ_URL"]


def test_it_is_told_once_at_start_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One WARNING with doctor's code: until when it works, and what to set; no value."""
    given(monkeypatch, OLD)
    load(Consumer)
    warn_of_names()
    (line,) = caplog.records
    assert (line.levelno, vars(line)["code"], vars(line)["setting"]) == (logging.WARNING, "SR004", ROW.old)
    assert line.getMessage() == (
        "STREAM_ROUTER_CHECKPOINT_EVERY_S: is called STREAM_ROUTER_CHECKPOINT_S since version 0.7; "
        "the old name works until 0.8; set STREAM_ROUTER_CHECKPOINT_S instead"
    )


def test_both_names_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them would do nothing, also where both say the same; an empty one is not set."""
    given(monkeypatch, {**OLD, ROW.new: "2.5", names.UNKNOWN: "warn"})
    with pytest.raises(SettingsError, match=rf"^{ROW.old}: is set beside {ROW.new}, its name since 0.7; unset"):
        load(Consumer)
    given(monkeypatch, {**OLD, ROW.new: ""})
    assert load(Consumer).checkpoint_s == 2.5


def test_a_bad_value_is_told_under_the_name_that_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody finds the new name in an environment that has the old one."""
    given(monkeypatch, {**CONSUMER, ROW.old: "0"})
    with pytest.raises(SettingsError, match=rf"^{ROW.old}: is too small; give seconds between checkpoints, 0.1 to 600"):
        load(Consumer)


def test_config_shows_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Under the new name, with where the value came from."""
    given(monkeypatch, OLD)
    assert config_report.run("consume") == 0
    assert f"{ROW.new}=2.5  # environment, as {ROW.old}, its old name" in capsys.readouterr().out.splitlines()


def test_doctor_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the version comes that refuses it."""
    given(monkeypatch, OLD)
    finding = host.names(cast(World, None))  # it looks at the environment alone
    assert (finding.verdict.value, finding.setting, finding.cure) == ("warning", ROW.old, f"set {ROW.new} instead")


def test_the_children_get_the_new_names_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the supervisor hands down itself would else stand beside an old name, and be refused."""
    monkeypatch.setattr(
        renamed, "RENAMED", (Renamed("STREAM_ROUTER_STATE_FOLDER", "STREAM_ROUTER_STATE_DIR", "0.7"), ROW)
    )
    given(monkeypatch, {**OLD, "STREAM_ROUTER_STATE_FOLDER": "/elsewhere"})
    environment = jvm_command.environment(load(Consumer), tmp_path)
    assert environment[ROW.new] == "2.5"
    assert environment["STREAM_ROUTER_STATE_DIR"] == str(tmp_path)
    assert not {ROW.old, "STREAM_ROUTER_STATE_FOLDER"} & environment.keys()
    for name in (ROW.old, "STREAM_ROUTER_STATE_FOLDER"):
        monkeypatch.delenv(name)
    given(monkeypatch, environment)
    assert load(Consumer).checkpoint_s == 2.5


def test_the_real_table_is_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row's new name is a setting, its old one is none, and its version is this minor version."""
    monkeypatch.undo()
    here = metadata.version("stream-router").rsplit(".", 1)[0]
    for row in renamed.RENAMED:
        assert row.new in names.settings()
        assert row.old not in names.settings()
        assert row.since == here, f"{row.old}: its time is over, take the row out"
