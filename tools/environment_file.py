"""Writes deploy/systemd/stream-router.env, every setting of both programs commented: `make docs`."""

import sys
from pathlib import Path

import asked
from configuration import FOR, SECTIONS, default

from stream_router.settings.common import Settings, allowed_values, variable

FILE = Path(__file__).resolve().parent.parent / "deploy" / "systemd" / "stream-router.env"

HEAD = """# Settings of stream_router's services: /etc/stream-router/stream-router.env, owned by root, mode 0600.
# NAME=value, no spaces around the `=`; an empty value is the same as none. docs/configuration.md says more of each.
# Written by `make docs`.
# Private data is masked unless you say otherwise: STREAM_ROUTER_MASKING is `default` here, which passes what NICE
# documents as harmless and redacts the rest (docs/masking.md).
# Credentials: none here on EC2, where the role of the instance serves; elsewhere AWS_ACCESS_KEY_ID and so on.
"""


SET_HERE = {"STREAM_ROUTER_MASKING": "default"}
"""What a careful team would choose, where the program's own default is another."""


def text() -> str:
    """The file."""
    seen: set[str] = set()
    parts = [HEAD]
    for title, kind in SECTIONS[:3]:
        parts.append(f"\n# --- {title} ---\n")
        parts += [_setting(kind, name) for name in kind.model_fields if not _known(kind, name, seen)]
    return "".join(parts)


def _known(kind: type[Settings], name: str, seen: set[str]) -> bool:
    variable_name = variable(kind, name)
    known = variable_name in seen
    seen.add(variable_name)
    return known


def _setting(kind: type[Settings], name: str) -> str:
    shown = default(kind, name).strip("`*")
    value = "" if shown in ("-", "required") else shown
    required = " Required." if shown == "required" else ""
    named = variable(kind, name)
    arguments = f"{named}={SET_HERE[named]}" if named in SET_HERE else f"#{named}={value}"
    return f"# {FOR[named]} ({allowed_values(kind, name)}).{required}\n{arguments}\n"


if __name__ == "__main__":
    asked.for_help(__doc__)
    FILE.write_text(text(), "utf-8")
    sys.stdout.write(f"{FILE} written\n")
