"""How `find` and `reconcile` end where something unforeseen happens: by the status that says that nothing is known."""

import traceback
from collections.abc import Callable
from pathlib import Path

from stream_router.control.stream.session import say
from stream_router.core.settings_error import SettingsError

CANNOT_JUDGE = 2


def judged(work: Callable[[], int]) -> int:
    """What `work` ends with; CANNOT_JUDGE, and one line, where it fails. Raises SettingsError.

    The command line's own answer to an unforeseen error is 1, which means "not received" or "differences" here.
    """
    try:
        return work()
    except SettingsError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no answer about events
        at = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(f"{type(error).__name__}: {error}".split())
        say(
            f"cannot judge: {text} ({Path(at.filename).name}:{at.lineno}), unforeseen; try again, report it if it stays"
        )
        return CANNOT_JUDGE
