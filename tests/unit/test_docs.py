"""The documents lead somewhere and work: what code writes is as the code has it, links, examples."""

import ast
import importlib
import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from stream_router.dead_letter_reasons import Reason
from stream_router.envelope import seal
from stream_router.model import DeadLetter
from stream_router.operate import policy
from stream_router.operate.resources import QUEUE_RETENTION_S, RETENTION_HOURS
from stream_router.pipeline.mapping import config_file
from stream_router.pipeline.mapping.config_file import PRESETS
from stream_router.pipeline.sinks.dead_letters.message import SCHEMA, LetterWriter
from stream_router.receiver import answers
from stream_router.receiver.stats import REASONS
from stream_router.settings.consumer import Consumer
from stream_router.settings.operators import Setup
from stream_router.settings.reading import load
from stream_router.settings.receiver import Receiver
from tests.environment import set_environment
from tests.events import IDENTITY, RECEIVED_MS, sent
from tests.fakes import event
from tests.schema_check import NAMES

pytestmark = pytest.mark.usefixtures("empty_environment")

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [page for folder in (".", "docs", "deploy", "benchmarks") for page in (ROOT / folder).glob("*.md")]
PAGES += [page for folder in ("docs", "deploy") for page in (ROOT / folder).glob("*/**/*.md")]


@pytest.mark.parametrize("tool", ["cloudformation", "configuration", "environment_file", "metrics"])
def test_what_code_writes_is_as_the_code_has_it(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The template's roles have the rights of `setup --policy`; every setting and metric is told. See `make docs`."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    result = importlib.import_module(tool)
    set_environment(monkeypatch, getattr(result, "SETTINGS", {}))
    file, text = (result.PAGE, result.page) if hasattr(result, "PAGE") else (result.FILE, result.text)
    assert file.read_text("utf-8") == text(), "run `make docs`"


def test_the_schemas_are_those_of_the_models_and_what_is_emitted_is_held_to_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In every test, by tests/schema_check.py: here a dead letter that is none."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    schemas = importlib.import_module("schemas")
    assert set(schemas.SCHEMAS) == set(NAMES)
    for name in NAMES:
        text = (schemas.FOLDER / f"{name}.json").read_text("utf-8")
        assert text == schemas.text(name), "run `make docs`"
        assert jsonschema_rs.meta.is_valid(json.loads(text))
    monkeypatch.setattr(LetterWriter, "_build_content", lambda *_: {"schema": SCHEMA})
    with pytest.raises(jsonschema_rs.ValidationError):
        LetterWriter("s", "shard-0", lambda: 0.0, ordered=False).write(
            DeadLetter(event(1), Reason.REFUSED, "C", "m", raw=b"x")
        )


@pytest.mark.parametrize("name", policy.NAMES)
def test_each_policy_of_the_documents_is_what_setup_prints(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver, where the world can reach it, puts records and its metrics; what deletes has one of its own."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    policies = importlib.import_module("policies")
    set_environment(monkeypatch, policies.SETTINGS)
    assert json.loads((policies.FOLDER / f"{name}.json").read_text("utf-8")) == policy.build_policy(name, policies.HOME)


def test_every_link_leads_somewhere() -> None:
    """Relative links name files that are there."""
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
        assert not [link for link in links if link and not (page.parent / link).exists()], page


def test_the_configuration_page_begins_with_ten_that_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Together they are all that a first deployment needs: each program takes its settings from them."""
    table = (DOCS / "configuration.md").read_text("utf-8").split("\n## ")[1]
    ten = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` ", table, re.MULTILINE))
    assert len(ten) == 10
    set_environment(monkeypatch, ten)
    assert (load(Receiver).webhook_scheme, load(Receiver).is_unencrypted) == ("hmac", False)
    assert load(Consumer).sqs_dlq_url == ten["SQS_DLQ_URL"]
    assert load(Setup).target_arn == ten["EVENTBRIDGE_TARGET_ARN"]


def test_the_example_of_a_mapping_is_taken(tmp_path: Path) -> None:
    """Its own shape comes before the presets, of which none is lost."""
    (text,) = re.findall(r"```toml\n(.*?)```", (DOCS / "events.md").read_text("utf-8"), re.DOTALL)
    (tmp_path / "example.toml").write_text(text)
    shapes = config_file.load(tmp_path / "example.toml").shapes
    assert [shape.name for shape in shapes] == ["acd", *(preset.name for preset in PRESETS)]


def test_the_tutorial_s_function_remembers_an_event_for_as_long_as_a_copy_may_come() -> None:
    """An event is in the stream, and then in a dead-letter queue, which a redrive may empty on its last day."""
    (days,) = re.findall(r"^KEEP_S = (\d+) \* 24 \* 3600\b", (DOCS / "tutorial.md").read_text("utf-8"), re.MULTILINE)
    assert int(days) * 24 * 3600 > RETENTION_HOURS * 3600 + QUEUE_RETENTION_S


# --- tables of the contract, against the code


def codes_in_code() -> set[tuple[int, str]]:
    """Return the status and code of every error that the receiver answers: the arguments of the calls that make one."""
    result: set[tuple[int, str]] = set()
    for path in (ROOT / "stream_router" / "receiver").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
                values = [argument.value for argument in node.args[:2] if isinstance(argument, ast.Constant)]
                if len(values) == 2:
                    result.add((int(str(values[0])), str(values[1])))
    return result | {(401, code) for code in answers.UNKNOWN_SENDER}


MAKERS = {"error", "ProblemError"}


def test_the_contract_has_every_answer_and_no_other() -> None:
    """Its table of answers names each status with its codes, as the receiver makes them."""
    rows = re.findall(r"(?m)^\| (\d{3}) ([^|]+) \|", (DOCS / "contract.md").read_text("utf-8"))
    written = {(int(status), code) for status, codes in rows for code in re.findall(r"`([a-z_]+)`", codes)}
    assert written == codes_in_code()


def test_every_answer_is_counted_by_its_reason() -> None:
    """A reason that is not known at the start would be in no metric; a 503's reason says more than its code."""
    counted = {row for row in REASONS if row[0] not in (202, 503)}
    assert counted == {row for row in codes_in_code() if row[0] != 503}


@pytest.mark.parametrize(
    ("page", "section"), [("contract.md", "Reasons: "), ("runbooks/dead-letters.md", "| reason | cause | cure |")]
)
def test_every_dead_letter_reason_stands_in_the_contract_and_in_its_runbook(page: str, section: str) -> None:
    """Whoever meets a reason finds it; and no page names one that the code has no longer."""
    text = (DOCS / page).read_text("utf-8").partition(section)[2].partition("\n\n")[0]
    rows = [line.split(" | ")[0] for line in text.splitlines()] if section.startswith("|") else [text]
    assert set(re.findall(r"`([a-z_]+)`", "\n".join(rows))) == {reason.value for reason in Reason}


@pytest.mark.parametrize(
    "kind", ["a dead-letter reason", "a scheme", "a metric", "a setting", "a check", "a log event", "a destination"]
)
def test_how_to_add_names_files_that_exist(kind: str) -> None:
    """Each kind of addition has a row in CONTRIBUTING, and every path of that row is there."""
    (row,) = re.findall(rf"(?m)^\| {kind}[^|]*\|(.*)\|$", (ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    paths = [path for path in re.findall(r"`([\w./-]+)`", row) if "/" in path or path.endswith(".py")]
    assert paths or "log" in kind
    for path in paths:
        places = (ROOT, ROOT / "stream_router", ROOT / "stream_router" / "pipeline")
        assert any((place / path).exists() for place in places), path


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Return the values of an object by their dotted paths."""
    if not isinstance(value, dict):
        return {path: value}
    return {step: leaf for key in value for step, leaf in leaves(value[key], f"{path}.{key}".lstrip(".")).items()}


def test_the_article_s_table_of_fields_is_what_comes_out_of_its_event() -> None:
    """README's body, sent through the pipeline, gives README's Detail, and each row of from-the-article's table."""
    blocks = re.findall(r"(?s)```json\n(.*?)```", (ROOT / "README.md").read_text("utf-8"))
    body, detail = (json.loads(block) for block in blocks[:2])
    result = sent(seal(IDENTITY, "delivery", RECEIVED_MS, json.dumps(body).encode()))
    assert result == detail
    text = (DOCS / "from-the-article.md").read_text("utf-8").partition("| field | here | the script |")[2]
    rows = re.findall(r"(?m)^\| `([\w.]+)` \| `([^`]+)` \|", text.partition("\n\n")[0])
    assert {field: json.loads(value) for field, value in rows} == leaves(result)
