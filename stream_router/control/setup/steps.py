"""The steps of `setup`, one line each: right things are left alone, others are made or changed, or only shown."""

from collections.abc import Callable
from typing import Any

Say = Callable[[str], None]

BROKEN_OFF = (
    "broken off: what stands above with + or ~ is done; run `stream-router setup` again, and it goes on from there"
)


class Steps:
    """Applies changes as they come up, or (`apply` false, `--plan`) only says what they would be.

    `say` gets each line: `+` is made, `~` changed, `=` right as it is, `!` for the operator to mend. `created` and
    `changed` count what was, or would be, made and changed; `problems` what only the operator can mend.
    """

    def __init__(self, say: Say, *, apply: bool) -> None:
        self._say = say
        self.apply = apply
        self.created = 0
        self.changed = 0
        self.unchanged = 0
        self.problems = 0

    @property
    def changes(self) -> int:
        """What was, or would be, made or changed."""
        return self.created + self.changed

    def right(self, what: str) -> None:
        """Something is as it should be."""
        self.unchanged += 1
        self._say(f"= {what}")

    def note(self, what: str) -> None:
        """Something that the operator should know and `setup` does not change."""
        self._say(f"  note: {what}")

    def problem(self, what: str) -> None:
        """Something is wrong that `setup` must not mend by itself: it then ends with 1."""
        self.problems += 1
        self._say(f"! {what}")

    def create(self, what: str, do: Callable[..., Any], **arguments: Any) -> Any:
        """Call `do(**arguments)`, which makes something, and say so; with `--plan` only say it, and answer None."""
        answer = self._do(f"+ {what}", do, arguments)
        self.created += 1
        return answer

    def change(self, what: str, do: Callable[..., Any], **arguments: Any) -> Any:
        """The same for a change of what is there; `what` says from what to what."""
        answer = self._do(f"~ {what}", do, arguments)
        self.changed += 1
        return answer

    def _do(self, line: str, do: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        try:
            answer = do(**arguments) if self.apply else None
        except BaseException:  # Ctrl-C in the middle of it as well: it may be done, or half done
            self._say(f"! {line[2:]}: not finished")
            raise
        self._say(line)
        return answer

    def broken_off(self) -> None:
        """Something ended the run in the middle: what is done stays, and is said."""
        if self.apply and self.changes:
            self.note(BROKEN_OFF)

    def summary(self) -> str:
        """The counts, for the last line."""
        if not self.changes:
            return "nothing to change"
        if self.apply:
            return f"{self.created} made, {self.changed} changed"
        counts = f"{self.created} to make, {self.changed} to change, {self.unchanged} as they should be"
        return f"plan: {counts}; run `stream-router setup` to do it"
