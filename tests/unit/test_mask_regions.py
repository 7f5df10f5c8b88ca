"""The countries whose phone numbers any masking policy is to expect, by a setting: no policy need be copied for it."""

from pathlib import Path

import orjson
import pytest

from stream_router.control import mask_report
from stream_router.errors import SettingsError
from stream_router.pipeline.masking.asked_for import asked_for
from tests.events import BODY, entry

POLICIES = ("default", 'id = "p"\nversion = "1"\nregions = ["FR"]\nunknown = "detect"\n')
NUMBER = "value 21577193 ok"
"""Nothing around it says phone, and no sentence its country: Norway's only for who expects Norway's."""


def policy(tmp_path: Path, text: str) -> str:
    """The name of a policy that ships, or of a file with the text of another."""
    if "\n" not in text:
        return text
    (tmp_path / "policy.toml").write_text(text)
    return str(tmp_path / "policy.toml")


@pytest.mark.parametrize("text", POLICIES)
def test_a_phone_that_nothing_announces_is_found_in_the_countries_of_the_setting(tmp_path: Path, text: str) -> None:
    """Whichever the policy is, and beside the countries that it names itself."""
    name, body = policy(tmp_path, text), {**BODY, "payload": {"odd": NUMBER, "french": "value 0612345678 ok"}}
    plain = orjson.loads(entry(body, masking=name).detail)["payload"]
    expecting = orjson.loads(entry(body, masking=name, masking_regions="NO, DK").detail)["payload"]
    assert (plain["odd"], expecting["odd"]) == (NUMBER, "value [PHONE] ok")
    assert plain["french"] == expecting["french"]


@pytest.mark.parametrize("regions", [("no",), ("NO", "UK"), ("Norway",)])
def test_a_country_that_nobody_knows_is_refused(regions: tuple[str, ...]) -> None:
    """Its phones would pass, while its owner believes that they are masked."""
    with pytest.raises(SettingsError, match=r"^STREAM_ROUTER_MASKING_REGIONS: one of them is no country .*GB\)"):
        asked_for("default", None, regions)


def test_the_report_expects_them_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`mask` shows what the consumer would do under the same settings."""
    sample = tmp_path / "sample.json"
    sample.write_bytes(orjson.dumps({"odd": NUMBER}))
    monkeypatch.setenv("STREAM_ROUTER_MASKING_REGIONS", "NO")
    assert mask_report.run("default", sample) == 0
    assert "detect.phone 1" in capsys.readouterr().out
