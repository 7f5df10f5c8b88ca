"""What several commands have in common: options of one meaning, how settings are read, how a command ends."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from stream_router.settings.common import Settings

    S = TypeVar("S", bound=Settings)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")]
Url = Annotated[str | None, typer.Option("--url", help="The receiver's URL; else that of its own settings.")]
Rate = Annotated[float, typer.Option("--rate", min=0, max=1_000_000, help="Most events a second; 0 is no bound.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be published; send nothing.")]


def settings(kind: "type[S]", *checks: "Callable[[S], object]", **given: Any) -> "S":
    """The settings of a program, with `checks` of what they name; `given` wins over the environment.

    Raises SettingsError with a line for all that is wrong.
    """
    from stream_router.settings.reading import load

    return load(kind, *checks, **given)


def end(status: int) -> NoReturn:
    """End the command with this exit status."""
    raise typer.Exit(status)
