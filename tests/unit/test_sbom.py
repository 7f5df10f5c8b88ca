"""The bill of materials: complete, reproducible, each part named as others look it up."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
JARS = (ROOT / "stream_router/consumer/supervisor/jars.txt").read_text("utf-8")
LOCK = """amazon-kclpy==3.1.3 \\
    --hash=sha256:aa
uvloop==0.23.0 ; sys_platform != 'win32' \\
    --hash=sha256:bb \\
    --hash=sha256:cc
typing_extensions==4.16.0 \\
    --hash=sha256:dd
stream_router==0.1.0 \\
    --hash=sha256:ee
"""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import sbom

    text = sbom.document(LOCK, JARS, "0.1.0")
    assert text == sbom.document(LOCK, JARS, "0.1.0")
    assert sbom.document(LOCK, JARS, "0.2.0") != text
    found: dict[str, Any] = json.loads(text)
    return found


def test_it_lists_every_package_and_every_jar_once(made: dict[str, Any]) -> None:
    """By package URL, the jars with their SHA-256; the product is what the document is about, and no part of itself."""
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    assert made["metadata"]["component"]["name"] == "stream_router"
    purls = [component["purl"] for component in made["components"]]
    assert len(set(purls)) == len(purls)
    assert [purl for purl in purls if purl.startswith("pkg:pypi/")] == [
        "pkg:pypi/amazon-kclpy@3.1.3",
        "pkg:pypi/typing-extensions@4.16.0",
        "pkg:pypi/uvloop@0.23.0",
    ]
    listed = dict(re.findall(r"^([0-9a-f]{64}) +\d+ +(\S+)$", JARS, re.MULTILINE))
    jars = {
        c["hashes"][0]["content"]: f"{c['group']}:{c['name']}:{c['version']}"
        for c in made["components"]
        if "group" in c
    }
    assert jars == listed
    assert len(jars) == 87
    (depends,) = made["dependencies"]
    assert sorted(depends["dependsOn"]) == sorted(purls)
