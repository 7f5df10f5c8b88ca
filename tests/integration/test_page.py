"""The web page in a real browser: its values are those of /status, in any state, theme and width, without a complaint.

Needs Debian's package `chromium` (CONTRIBUTING.md, "Build and test"); skipped where it is not installed.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from stream_router.consumer.supervisor.status import admin_port
from stream_router.consumer.supervisor.vitals import Vitals
from stream_router.telemetry.verdict import judge
from tests import statuses
from tests.chromium import PROGRAM, Chromium

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium here; install Debian's package `chromium`")

TOKEN = "a token of many bytes"
SHOWN = "Number(document.body.dataset.looks) >= 1"


class StatusServer:
    """The real admin port, with a status and an hour that are what the test says."""

    latest_verdict = judge([], 0.0)

    def __init__(self, status: dict[str, Any], hour: dict[str, Any] | None = None, token: str | None = None) -> None:
        self.current, self.hour = status, hour or statuses.history()
        self.port = admin_port("127.0.0.1:0", token, "", Vitals(), self)  # type: ignore[arg-type] # as the page sees it
        self.port.start()
        self.url = f"http://{self.port.address}/"

    def status(self) -> bytes:
        return json.dumps(self.current).encode()

    def history(self) -> bytes:
        return json.dumps(self.hour).encode()

    def metrics(self) -> bytes:
        return b""


Serve = Callable[..., StatusServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as opened:

        def serve(*subject: Any, **more: Any) -> StatusServer:
            server = StatusServer(*subject, **more)
            opened.callback(server.port.close)
            return server

        yield serve


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def cells(browser: Chromium) -> list[list[str]]:
    """Every element that shows a value of /status: path, value, text."""
    result: list[list[str]] = browser.value(
        "[...document.querySelectorAll('[data-path]')].map((e) => [e.dataset.path, e.dataset.value, e.textContent])"
    )
    return result


def values(status: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each number and text of /status: its dotted path, and how JavaScript writes it."""
    if isinstance(status, dict | list):
        for key, item in status.items() if isinstance(status, dict) else enumerate(status):
            yield from values(item, f"{path}.{key}" if path else str(key))
    elif status is not None:
        yield path, str(int(status)) if isinstance(status, float) and status.is_integer() else str(status)


@pytest.mark.parametrize(
    ("state", "width", "dark"), [("consumer", 1200, False), ("holding", 390, True), ("moved", 390, False)]
)
def test_every_value_is_that_of_status(serve: Serve, browser: Chromium, state: str, width: int, dark: bool) -> None:
    """Percentiles, figures, shards, reasons; nothing on the console, no other host asked, nothing too wide or faint."""
    status, hour = getattr(statuses, state)(), statuses.history(trouble=state == "holding")
    consumer = serve(status, hour)
    browser.open(consumer.url, width=width, dark=dark)
    browser.until(SHOWN)
    shown, expected = {path: value for path, value, _ in cells(browser)}, dict(values(status))
    assert shown == {path: expected.get(path, "") for path in shown}
    wanted = {path for path in expected if path.startswith(("recent.latenciesMs", "totals.retries", "rates"))}
    assert wanted <= shown.keys()
    assert browser.messages == []
    assert {url.split("/")[2] for url in browser.asked} == {consumer.url.split("/")[2]}
    assert browser.value("document.documentElement.scrollWidth <= window.innerWidth")
    assert browser.value(WEAK) == [], "WCAG AA: 4.5 to 1 for every text that is shown"


def test_the_words_say_what_the_numbers_are(serve: Serve, browser: Chromium) -> None:
    """What a person reads: units, since when, why, worst first. Of nothing there is no latency: 0 ms would be good."""
    status = statuses.holding()
    status["recent"]["latenciesMs"]["read_to_sent"] = dict.fromkeys(("count", "p50", "p90", "p99", "p999", "max"), 0)
    browser.open(serve(status, statuses.history(trouble=True)).url)
    browser.until(SHOWN)
    words = {path: text for path, _, text in cells(browser)}
    wanted = {
        "state": "✗ A shard holds since 09:28:00 UTC",
        "code": "holding",
        "reason": "1 of 2 shards: the event bus refuses every call (ThrottlingException)",
        "lag.retentionHeadroomS": "6 d 23 h",
        "lag.oldestUnsettledAgeS": "2 min 2 s",
        "lag.catchUpS": "-",
        "rates.deliveredPerS": "256 events/s",
        "rates.recordsPerS": "100 records/s",
        "recent.latenciesMs.received_to_accepted.p50": "840 ms",
        "recent.latenciesMs.received_to_accepted.p999": "35 s",
        "recent.latenciesMs.read_to_sent.p99": "-",
        "totals.counters.delivered": "102,469",
        "shards.1.timeShares.holding": "95 %",
    }
    assert {path: words[path] for path in wanted} == wanted
    assert "no event is lost" in words["meaning"]
    assert words["cure"], "a red verdict says what to do"
    first = browser.value("document.querySelector('#shards tbody tr').textContent")
    assert first.startswith("shardId-000000000001✗ a shard holds since 09:28:00 UTC: the event bus refuses")


def test_it_follows_a_shard_that_moves_and_a_state_that_ends(serve: Serve, browser: Chromium) -> None:
    """The next poll shows it, in the elements that were there: no reload, no row of what is gone."""
    consumer = serve(statuses.holding())
    browser.open(consumer.url)
    browser.until(SHOWN)
    browser.value("document.querySelector('#shards tbody tr:last-child').id = 'the-same'")
    consumer.current = statuses.moved()
    browser.until("document.querySelector('#unread tbody tr')")
    rows = browser.value("[...document.querySelectorAll('#shards tbody tr')].map((row) => row.id)")
    assert rows == ["the-same"]
    assert browser.value("document.querySelector('#state').textContent").startswith(
        "✗ A shard is not read since 09:26:00"
    )
    consumer.current = statuses.consumer()
    browser.until("document.querySelector('#state').textContent.startsWith('✓ Well')")
    assert browser.value("document.querySelector('#unread-box').hidden")
    assert browser.messages == []


def test_the_lines_are_where_the_history_says(serve: Serve, browser: Chromium) -> None:
    """On a log axis: from 10 ms to 100 ms is as far as from 100 ms to 1 s; where nothing went out the line ends."""
    hour = statuses.history()
    p50, p99, p999 = (hour["columns"].index(name) for name in ("p50", "p99", "p999"))
    for row in hour["rows"]:
        row[p50], row[p99], row[p999] = 10.0, 100.0, 1000.0
    hour["rows"][200][p50] = None
    browser.open(serve(statuses.consumer(), hour).url)
    browser.until(SHOWN)
    drawn = "document.querySelector('#latency path.k{}').getAttribute('d')"
    lines = [browser.value(drawn.format(number)) for number in (1, 2, 3)]
    heights = [float(line.split("h")[0].split(" ")[1]) for line in lines]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.3)
    assert heights[0] > heights[1]
    assert (lines[0].count("M"), lines[1].count("M")) == (2, 1)
    bars = browser.value("document.querySelectorAll('#dead rect').length")
    assert bars == len([1 for n in range(360) if n % 70 == 3 or n % 110 == 5])


def test_charts_say_what_they_cover_and_an_empty_one_has_no_axis(serve: Serve, browser: Chromium) -> None:
    """A consumer of ten minutes says so; if nothing went through, a chart is a sentence and not an axis of 1e-9."""
    hour = statuses.history()
    hour["rows"] = hour["rows"][-60:]
    hour["deadLetters"] = {name: counts[-60:] for name, counts in hour["deadLetters"].items()}
    browser.open(serve(statuses.consumer(), hour).url)
    browser.until(SHOWN)
    headings = "[...document.querySelectorAll('h2 [data-span]')].map((span) => span.textContent)"
    assert browser.value(headings) == ["last 10 min"] * 3
    for row in hour["rows"]:
        row[1:9] = [0.0, 0.0, 0.0, *[None] * 5]
    browser.open(serve(statuses.consumer(), hour | {"deadLetters": {}}).url)
    browser.until(SHOWN)
    for chart, words in (("latency", "events"), ("rates", "events"), ("dead", "dead letters")):
        drawn = f"[...document.querySelectorAll('#{chart} *')].map((e) => e.tagName + ' ' + e.textContent)"
        assert browser.value(drawn) == [f"text no {words}, last 10 min"]
    browser.open(serve(statuses.consumer(), hour | {"rows": [], "deadLetters": {}}).url)
    browser.until(SHOWN)
    assert browser.value(headings) == ["since the start"] * 3
    assert browser.messages == []


def test_whoever_sees_no_colors_tells_lines_and_bars_apart(serve: Serve, browser: Chromium) -> None:
    """In each chart every series has its own pattern, and the legend shows the same one."""
    browser.open(serve(statuses.holding(), statuses.history(trouble=True)).url)
    browser.until(SHOWN)
    for chart, styled in (
        ("latency", "strokeDasharray"),
        ("rates", "strokeDasharray"),
        ("dead", "fill"),
        ("time", "fill"),
    ):
        shape = "path" if styled == "strokeDasharray" else "rect"
        look = f"(e) => e.getAttribute('class') + ' ' + getComputedStyle(e).{styled}"
        drawn = browser.value(f"[...new Set([...document.querySelectorAll('#{chart} {shape}[class]')].map({look}))]")
        legend = browser.value(f"[...document.querySelectorAll('#{chart}-legend {shape}')].map({look})")
        assert sorted(drawn) == sorted(legend)
        assert len({item.split(" ", 1)[1] for item in legend}) == len(legend) > 1


def test_what_a_column_means_is_said(serve: Serve, browser: Chromium) -> None:
    """Each column of the shards has its meaning on hover, and in a list for whoever has no mouse."""
    browser.open(serve(statuses.consumer()).url)
    browser.until(SHOWN)
    columns = browser.value(
        "[...document.querySelectorAll('#shards th[scope=col]')].map((e) => [e.textContent, e.title])"
    )
    listed = browser.value(
        "[...document.querySelectorAll('#words dt')].map((e) => [e.textContent, e.nextSibling.textContent])"
    )
    assert [column for column in columns if column[0] not in ("shard", "state")] == listed
    assert ["calls in flight", "PutEvents calls sent and not answered yet, of how many may be at present."] in listed
    assert browser.value("[...document.querySelectorAll('#figures > div')].every((card) => card.title)")


def test_the_token_is_asked_for_once(serve: Serve, browser: Chromium) -> None:
    """A wrong one is said to be wrong; the right one is kept while the page is open, and by nothing else."""
    consumer = serve(statuses.consumer(), token=TOKEN)
    browser.open(consumer.url)
    browser.until("!document.querySelector('#ask').hidden")
    assert browser.value("document.querySelector('#all').hidden")
    assert browser.value("document.activeElement.id") == "token"
    browser.write("not the token")
    browser.press("Enter")
    browser.until("document.querySelector('#ask-why').textContent.startsWith('That token is not')")
    browser.write(TOKEN)
    browser.press("Enter")
    browser.until(SHOWN)
    browser.until("Number(document.body.dataset.looks) >= 2")
    assert browser.value("document.querySelector('#ask').hidden")
    assert browser.value("document.querySelector('#token').value + document.cookie + localStorage.length") == "0"
    complaints = [message for message in browser.messages if "401" not in message]
    assert complaints == [], "the browser itself notes each 401; nothing else is said"


def test_it_works_by_keyboard_and_for_a_screen_reader(serve: Serve, browser: Chromium) -> None:
    """Tab reaches what scrolls; tables have captions and headings; the verdict is announced politely."""
    browser.open(serve(statuses.moved()).url)
    browser.until(SHOWN)
    reached = set()
    for _ in range(12):
        browser.press("Tab")
        reached.add(browser.value("document.activeElement.ariaLabel"))
    assert {"Latency by stage", "Shards", "Shards that nobody reads", "Where the time goes"} <= reached
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    named = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]]
    for kind in ({"table"}, {"image", "img"}):  # captions; what each chart and bar shows in words
        names = [name for role, name in named if role in kind]
        assert (len(names) >= 4, all(names)) == (True, True)
    assert ("rowheader", "shardId-000000000000") in named
    assert browser.value("document.querySelector('#state').closest('[aria-live]').ariaLive") == "polite"


WEAK = """(() => {
  const light = (rgb) => rgb.map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const ground = (e) => { for (; e; e = e.parentElement) { const c = parts(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
  const weak = [];
  for (const e of document.querySelectorAll('#all *')) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const style = getComputedStyle(e), colour = parts(e instanceof SVGElement ? style.fill : style.color).slice(0, 3);
    const [a, b] = [light(colour), light(ground(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) weak.push([e.textContent, (a + 0.05) / (b + 0.05)]);
  }
  return weak;
})()"""


def test_a_consumer_that_does_not_answer_is_said(serve: Serve, browser: Chromium) -> None:
    """Old numbers never look like new ones."""
    browser.open(serve(statuses.consumer()).url)
    browser.until(SHOWN)
    network = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.call("Network.emulateNetworkConditions", offline=True, **network)
    browser.until("!document.querySelector('#trouble').hidden")
    output = browser.value("document.querySelector('#trouble').textContent")
    assert output.startswith("The consumer does not answer; what stands below is of 09:30:02 UTC.")
    browser.call("Network.emulateNetworkConditions", offline=False, **network)
    browser.until("document.querySelector('#trouble').hidden")
