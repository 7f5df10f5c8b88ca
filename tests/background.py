"""A thread that runs beside a test until the test leaves its `with` block."""

import threading
from abc import ABC, abstractmethod
from typing import Self


class Background(ABC):
    """Work in a thread of its own. `run` must return soon after `stopped` is set."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self._thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._thread.join()

    @abstractmethod
    def run(self) -> None:
        """Do the work."""
