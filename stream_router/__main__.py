"""The console script, and `python -m stream_router`: the command, or one line where a package of it is missing."""

import os
import sys


def main() -> None:
    """Run the command. Exit 78 where it cannot even be read: as with a jar that is missing, a restart mends nothing."""
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
