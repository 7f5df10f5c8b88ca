"""The documents say what is so: settings, metrics, links, and every name of the contract."""

import configparser
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from stream_router.cli import app
from stream_router.model import Reason
from stream_router.settings.consumer import Consumer
from stream_router.settings.operators import Setup
from stream_router.settings.reading import load
from stream_router.settings.receiver import Receiver
from stream_router.telemetry.metrics_catalogue import STAGES

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "benchmarks/README.md",
    *sorted((ROOT / "deploy").rglob("*.md")),
]


def test_the_configuration_reference_is_what_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable, its default, what it takes. Write it anew with `make docs`."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    monkeypatch.delitem(sys.modules, "configuration", raising=False)
    import configuration

    assert configuration.PAGE.read_text("utf-8") == configuration.page(), "run `make docs`"


def test_the_configuration_page_begins_with_ten_that_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Together they are all that a first deployment needs: each program takes its settings from them."""
    table = (ROOT / "docs/configuration.md").read_text("utf-8").split("\n## ")[1]
    ten = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` ", table, re.MULTILINE))
    assert len(ten) == 10
    for name, example in ten.items():
        monkeypatch.setenv(name, example)
    assert (load(Receiver).webhook_scheme, load(Receiver).in_the_clear) == ("hmac", False)
    assert load(Consumer).sqs_dlq_url == ten["SQS_DLQ_URL"]
    assert load(Setup).target_arn == ten["EVENTBRIDGE_TARGET_ARN"]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.exists()], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Relative links name files that are there."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert not [link for link in links if link and not (page.parent / link).exists()]


def test_every_dependency_has_its_reason() -> None:
    """docs/decisions/0007 names each that setup.cfg asks for, and constraints.txt pins what `make setup` installs."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = {name: _packages(asked) for name, asked in config["options.extras_require"].items()}
    wanted = [*_packages(config["options"]["install_requires"]), *(one for each in extras.values() for one in each)]
    reasons = (ROOT / "docs/decisions/0007-dependencies.md").read_text("utf-8")
    pins = (ROOT / "constraints.txt").read_text("utf-8").lower().replace("_", "-")
    assert not [name for name in wanted if f"`{name}`" not in reasons]
    assert not [name for name in wanted if f"\n{name.lower().replace('_', '-')}==" not in pins]


def _packages(asked: str) -> list[str]:
    return [re.split(r"[ \[<>=]", line)[0] for line in asked.split("\n") if line]


def test_the_tables_of_the_metrics_are_the_catalogue_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every metric stands on the page, with its kind and meaning, and no other. Write it anew with `make docs`."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    monkeypatch.delitem(sys.modules, "metrics", raising=False)
    import metrics

    assert metrics.PAGE.read_text("utf-8") == metrics.page(), "run `make docs`"


def test_the_contract_names_every_command_and_no_other() -> None:
    """Of the commands' table, what stands before the options is what the program knows."""
    table = (ROOT / "docs/contract.md").read_text("utf-8").partition("## Commands")[2].partition("\n\nBad")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {name for cell in cells for name in re.findall(r"`([a-z]+)", cell)}
    program: Any = typer.main.get_command(app)
    assert named == set(program.commands)


def test_the_contract_names_every_option() -> None:
    """What `--help` of a command lists stands in the command's row, but for `--help` itself."""
    table = (ROOT / "docs/contract.md").read_text("utf-8").partition("## Commands")[2].partition("\n\nBad")[0]
    rows = {re.findall(r"[a-z]+", line)[0]: line for line in table.splitlines() if line.startswith("| `")}
    missing = [(name, option) for name, option in _options(typer.main.get_command(app), "") if option not in rows[name]]
    assert not missing


def _options(command: Any, name: str) -> Iterator[tuple[str, str]]:
    """Every option of the commands below, each with the first word of its command."""
    for below, one in getattr(command, "commands", {}).items():
        yield from _options(one, name or below)
    yield from ((name, word) for one in command.params for word in one.opts if name and word.startswith("--"))


@pytest.mark.parametrize("schema", ["detail", "dead-letter", "audit-record", "demo"])
def test_the_contract_names_every_field(schema: str) -> None:
    """What a schema has, at whatever depth, the contract tells of."""
    told = set(re.findall(r"\w+", (ROOT / "docs/contract.md").read_text("utf-8")))
    assert not set(_fields(json.loads((ROOT / f"docs/schemas/{schema}.json").read_text("utf-8")))) - told


def _fields(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for part in schema.values():
            yield from _fields(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _fields(part)


def test_the_contract_names_every_reason_and_stage() -> None:
    """What a label, or an attribute, can be: who writes an alarm or a filter needs the values, not only the names."""
    told = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs/contract.md").read_text("utf-8")))
    assert {*map(str, Reason), *STAGES} <= told


def test_the_contract_names_every_make_target() -> None:
    """Each that `make help` lists."""
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    promised = (ROOT / "docs/contract.md").read_text("utf-8").partition("The make targets ")[2].partition("keep")[0]
    assert targets == set(re.findall(r"`([a-z-]+)`", promised))
