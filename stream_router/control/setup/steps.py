"""The steps of `setup`, one line each: right things are left alone, others are changed, or with --plan only shown."""

from collections.abc import Callable
from typing import Any

from stream_router.core.settings_error import SettingsError

Say = Callable[[str], None]


class SetupError(Exception):
    """Setup cannot go on; its text is the one line that the operator sees, the cure in it."""


class WrongSettingError(SettingsError, SetupError):
    """The same, where a setting is at fault: exit 78."""


class Steps:
    """Applies changes as they come up, or (`apply` false, `--plan`) only says what they would be.

    `say` gets each line. `changes` counts what was, or would be, changed; `problems` what only the operator can mend.
    """

    def __init__(self, say: Say, *, apply: bool) -> None:
        self._say = say
        self.apply = apply
        self.changes = 0
        self.problems = 0

    def right(self, what: str) -> None:
        """Something is as it should be."""
        self._say(f"ok       {what}")

    def note(self, what: str) -> None:
        """Something that the operator should know and `setup` does not change."""
        self._say(f"note     {what}")

    def problem(self, what: str) -> None:
        """Something is wrong that `setup` must not mend by itself: it then ends with 1."""
        self.problems += 1
        self._say(f"problem  {what}")

    def change(self, what: str, do: Callable[..., Any], **arguments: Any) -> Any:
        """Call `do(**arguments)` and say what it was for; with `--plan` only say it, and answer None."""
        self.changes += 1
        if not self.apply:
            self._say(f"would    {what}")
            return None
        answer = do(**arguments)
        self._say(f"done     {what}")
        return answer
