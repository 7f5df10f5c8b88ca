"""Writes the example policies of docs/operations.md from the code that prints them: `python tools/policies.py`."""

import json
import sys
from pathlib import Path

from marked import filled
from settings_alone import set_alone

from stream_router.operate.arns import Home
from stream_router.operate.policy import NAMES, document

PAGE = Path(__file__).resolve().parent.parent / "docs" / "operations.md"
BEGIN = "<!-- written by `make docs` from operate/policies -->"
HOME = Home("aws", "eu-central-1", "123456789012")
SETTINGS = {
    "AWS_REGION": HOME.region,
    "EVENTBRIDGE_TARGET_ARN": f"arn:aws:lambda:{HOME.region}:{HOME.account}:function:my-function",
}


def examples() -> str:
    """Each policy under its name, as `setup --policy` prints it but for the line breaks."""
    return "\n".join(f"`{name}`:\n\n```json\n{_short(document(name, HOME))}\n```\n" for name in NAMES)


def _short(policy: dict[str, object]) -> str:
    statements = policy["Statement"]
    assert isinstance(statements, list)
    lines = ",\n".join(f"  {json.dumps(statement)}" for statement in statements)
    return f'{{"Version": "2012-10-17", "Statement": [\n{lines}\n]}}'


def page() -> str:
    """The page as it should be: its prose as it is, its examples as the code has them. Reads the environment."""
    return filled(PAGE.read_text("utf-8"), BEGIN, examples())


if __name__ == "__main__":
    set_alone(SETTINGS)
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"{PAGE} written\n")
