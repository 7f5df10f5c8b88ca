"""Standard input, output and error of a program that was started without one of them (`2>&-`, some supervisors)."""

import os
import sys


def open_closed() -> None:
    """Open those that are closed, onto nothing. To be called before this program opens anything for good.

    The kernel gives the lowest free number: a connection would have number 2, into it whatever a library says would be
    written, and uvloop ends the process that closes it. Python has None for such a stream, on which a log breaks.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - a descriptor, kept open
