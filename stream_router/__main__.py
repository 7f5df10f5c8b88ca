"""The console script, and `python -m stream_router`: the command, or one line where a package of it is missing."""

import os
import sys


def main() -> None:
    """Run the command. If a package of the installation is missing, print one line and exit with status 78.

    The status says that a restart would not help. With `--debug` the error is raised instead, with its traceback.
    """
    try:
        from stream_router import cli
    except ImportError as error:
        if "--debug" in sys.argv:
            raise
        sys.stderr.write(f"stream-router: this installation is not whole ({error}); install it again from its lock\n")
        sys.exit(os.EX_CONFIG)
    cli.main()


if __name__ == "__main__":
    main()
