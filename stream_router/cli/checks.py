"""The commands that try something out: a masking policy, audit files, the CXone credentials. No logic, as in `cli`."""

from pathlib import Path
from typing import Annotated

import typer

cxone = typer.Typer(
    no_args_is_help=True, help="Tries out the CXone credentials (CXONE_CLIENT_ID, CXONE_CLIENT_SECRET)."
)
audit = typer.Typer(
    no_args_is_help=True, help="Works on the audit files that `consume` writes (STREAM_ROUTER_AUDIT_DIR)."
)


def mask(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Samples: events as JSON, one a line or a file.")
    ],
    policy: Annotated[str, typer.Option("--policy", help="`default`, `strict`, or the path of a policy file.")],
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Which paths it masks, lets pass on purpose, does not know.")
    ] = False,
) -> None:
    """Show what a masking policy does to sample events: value by value, side by side, or path by path.

    Example: stream-router mask --policy default event.json
    """
    from stream_router.control import mask_report

    raise typer.Exit(mask_report.run(policy, *files, coverage=coverage))


@audit.command()
def verify(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Audit files, one a shard.")],
) -> None:
    """Check the chain of audit files: that no line was changed, added or taken out (STREAM_ROUTER_AUDIT_KEY).

    Example: stream-router audit verify /var/lib/stream-router/audit/*.jsonl
    """
    from stream_router.control import audit_verify

    raise typer.Exit(audit_verify.run(*files))


@cxone.command()
def token() -> None:
    """Get a token with the CXone credentials, and say for whom it is and how long it lasts.

    Example: CXONE_ACCESS_KEY_ID=… CXONE_ACCESS_KEY_SECRET=… stream-router cxone token
    """
    from stream_router.cxone import commands

    raise typer.Exit(commands.token())


@cxone.command()
def sources() -> None:
    """Check the event sources that are listed in STREAM_ROUTER_CONFIG's file.

    Example: STREAM_ROUTER_CONFIG=sources.toml stream-router cxone sources
    """
    from stream_router.cxone import commands

    raise typer.Exit(commands.sources())
