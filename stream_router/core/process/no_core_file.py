"""No core file of a crash: secrets and customers' data would stand in it, in the clear, on a disk."""

import resource


def leave_none() -> None:
    """From now on neither this process nor one that it starts leaves one.

    For who looks for a crash, `prlimit --core=unlimited --pid PID` takes it back.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
