"""Tells which workers stand still: stopped, or in a loop that never returns. The kernel gives them connections on."""

from collections.abc import Callable, Sequence

HUNG_S = 20.0
"""A worker's loop beats once a second. Nothing that it does takes a part of this; `/healthz` says ill after 30 s."""

COUNTED_OF_A_LOOK_S = 1.0
"""Most that counts of the time between two looks: where the watcher itself was late, as on a machine that is loaded or
was suspended, it does not know whether the others could have done anything."""


class Pulses:
    """`beats` tells how often each worker's loop has beaten, 0 for one that has not begun; `clock` steady seconds."""

    def __init__(self, beats: Callable[[], Sequence[float]], clock: Callable[[], float]) -> None:
        self._beats = beats
        self._clock = clock
        self._looked_s = clock()
        self._before: dict[int, float] = {}
        self._silent_s: dict[int, float] = {}

    def look(self) -> list[int]:
        """The numbers of those that stand still. Called a few times a second."""
        now_s = self._clock()
        passed_s = min(now_s - self._looked_s, COUNTED_OF_A_LOOK_S)
        self._looked_s = now_s
        for number, beats in enumerate(self._beats()):
            still = beats > 0 and beats == self._before.get(number)
            self._silent_s[number] = self._silent_s.get(number, 0.0) + passed_s if still else 0.0
            self._before[number] = beats
        return [number for number, silent_s in self._silent_s.items() if silent_s > HUNG_S]
