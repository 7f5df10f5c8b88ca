"""The bill of materials of a release: CycloneDX 1.6 as JSON, from the lock file and the list of jars, nothing else.

The same inputs give the same bytes: no time in it, and a serial number made from what it lists.
"""

import json
import re
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

ENTRY = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)
JAR = re.compile(r"^([0-9a-f]{64})\s+\d+\s+([^\s:]+):([^\s:]+):([^\s:]+)$", re.MULTILINE)


def document(lock: str, jars: str, version: str) -> str:
    """The document for a `requirements.lock` and a `jars.txt`; `version` is the product's own."""
    found = [component for name, release in ENTRY.findall(lock) if (component := _python(name, release))]
    found += [_jar(*parts) for parts in JAR.findall(jars)]
    components = sorted(found, key=lambda component: component["bom-ref"])
    own = f"pkg:generic/stream_router@{version}"
    listed = json.dumps(components, sort_keys=True)
    made = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, own + listed)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": "stream_router",
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": components,
        "dependencies": [{"ref": own, "dependsOn": [component["bom-ref"] for component in components]}],
    }
    return json.dumps(made, indent=1) + "\n"


def write(target: Path, root: Path, version: str) -> None:
    """Into the folder of `make dist`, whose lock is there already."""
    lock = (target / "requirements.lock").read_text("utf-8")
    jars = (root / "stream_router" / "consumer" / "supervisor" / "jars.txt").read_text("utf-8")
    (target / "sbom.cdx.json").write_text(document(lock, jars, version), "utf-8")


def _python(name: str, version: str) -> dict[str, Any] | None:
    plain = re.sub(r"[-_.]+", "-", name).lower()
    if plain == "stream-router":  # the product itself, which the document is about
        return None
    purl = f"pkg:pypi/{plain}@{quote(version)}"
    return {"type": "library", "bom-ref": purl, "name": plain, "version": version, "purl": purl}


def _jar(sha256: str, group: str, name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:maven/{group}/{name}@{quote(version)}?type=jar"
    hashes = [{"alg": "SHA-256", "content": sha256}]
    return {
        "type": "library",
        "bom-ref": purl,
        "group": group,
        "name": name,
        "version": version,
        "hashes": hashes,
        "purl": purl,
    }
