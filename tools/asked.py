"""What each tool does first: asked for help it says what it is for, and writes nothing."""

import argparse


def for_help(text: str | None) -> None:
    """End with the text where `--help` is asked for, and with 2 where there is anything else on the command line."""
    argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
