"""How `find` ends where something unforeseen happens: by the status that says that nothing is known."""

from collections.abc import Callable

from stream_router.errors import SettingsError, UnforeseenError

CANNOT_JUDGE = 2


def judged(work: Callable[[], int]) -> int:
    """What `work` ends with. Raises SettingsError, and of any other error UnforeseenError with CANNOT_JUDGE.

    The command line's own answer to an unforeseen error is 1, which means "not received" here.
    """
    try:
        return work()
    except SettingsError:
        raise
    except Exception as error:
        text = f"cannot judge: {type(error).__name__}: {error}, unforeseen; try again, report it if it stays"
        raise UnforeseenError(text, CANNOT_JUDGE) from error
