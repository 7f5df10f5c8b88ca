"""Writes docs/policies/*.json, examples of the least policies, from the code that prints them. Run by `make docs`."""

import json
from pathlib import Path

import asked
from settings_alone import set_alone

from stream_router.operate.arns import Home
from stream_router.operate.policy import NAMES, build_policy

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "policies"
HOME = Home("aws", "eu-central-1", "123456789012")
SETTINGS = {
    "AWS_REGION": HOME.region,
    "EVENTBRIDGE_TARGET_ARN": f"arn:aws:lambda:{HOME.region}:{HOME.account}:function:my-function",
}


def main() -> None:
    """A file for each, as `setup --policy` prints it with the defaults and a Lambda function as target."""
    FOLDER.mkdir(exist_ok=True)
    for name in NAMES:
        (FOLDER / f"{name}.json").write_text(json.dumps(build_policy(name, HOME), indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    asked.for_help(__doc__)
    set_alone(SETTINGS)
    main()
