"""Path patterns over JSON, compiled into one automaton: a key of an event is looked up once for all patterns.

A pattern is steps joined by dots: a key (in any case), `*` any key of an object, `[]` any element of an array (also as
in `fields[]`), `**` any number of levels (at the end: one or more), `<phone>` any key that has the word (key_words.py).
A key that holds a dot stands in double quotes.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from stream_router.pipeline.masking.key_words import KeyWords, Word

DEEP, ANY_KEY, ELEMENT = object(), object(), object()
Token = object
Positions = int
"""A set of bits: each pattern has one for every token of it that may come next, and one behind the last."""

_STEP = re.compile(r'(?:"([^"]+)"|(\*\*)|(\*)|<([^<>]+)>|([^.\[\]"*<>]+))?((?:\[\])*)(?:\.(?=.)|$)')
_SPECIAL = {"**": DEEP, "*": ANY_KEY}
MEMO_MAX = 4096
"""Keys that one state remembers, and steps that the automaton does; senders choose the keys, so both are bounded."""
STATES_MAX = 256
"""States that are kept: policies have some dozens, but senders may combine the words of keys level by level."""
MEMO_KEY_CHARS = 128
"""A longer key is worked out anew each time: as long as a body, some thousands of them would fill the memory."""


def tokens(pattern: str) -> tuple[Token, ...]:
    """A pattern's tokens. Raises ValueError where it cannot be read."""
    found: list[Token] = []
    at = 0
    while at < len(pattern):
        step = _STEP.match(pattern, at)
        if step is None or step.end() == at or not any(step.groups()):
            raise ValueError("is no path pattern")
        quoted, deep, any_key, words, key, elements = step.groups()
        if name := quoted or key:
            found.append(name.lower())
        elif words:
            found.append(Word.of(words))
        elif (special := deep or any_key) and not (deep and found[-1:] == [DEEP]):  # twice any number is any number
            found.append(_SPECIAL[special])
        found.extend([ELEMENT] * (len(elements) // 2))
        at = step.end()
    if not found:
        raise ValueError("is empty")
    if found[-1] is DEEP:
        found.append(_ANYTHING)
    return tuple(found)


_ANYTHING = object()
"""One level of any kind: what `**` at the end of a pattern needs at least."""


class Step(NamedTuple):
    """What a key or an element leads to: the patterns that end there, in order, and the state below (None: no more).

    `meaning` is what the automaton's owner made of `ends`, once.
    """

    ends: tuple[int, ...]
    below: "State | None"
    meaning: Any


Learned = tuple[Any, "State | None", Step]
"""A step's meaning, the state below and the step itself as a plain tuple, which is taken apart fastest."""


class State:
    """Where the walk stands in all patterns at once. `keys[name]` and `element` give the next `Step`.

    `quick` remembers what was learned by key: who walks many keys looks there first. `is_kept`: it is there for every
    event; one that is not remembers nothing, and no kept one remembers it.
    """

    __slots__ = ("_automaton", "_positions", "is_kept", "keys", "quick")

    def __init__(self, automaton: "Automaton", positions: Positions, *, is_kept: bool) -> None:
        self._automaton = automaton
        self._positions = positions
        self.is_kept = is_kept
        self.keys = _Keys(self)
        self.quick: dict[str, Learned] = {}

    @property
    def element(self) -> Step:
        """The step to any element of an array."""
        return self.keys[ELEMENT]

    @property
    def unnamed(self) -> Step:
        """The step of every key that no pattern names."""
        return self.keys[ANY_KEY]

    def step(self, key: object) -> Step:
        """The step that `key` of an object leads to."""
        return self._automaton.step(self._positions, key)

    def learn(self, key: str) -> "Learned":
        """The entry of `quick` for a key that it lacks."""
        step = self.keys[key]
        learned = (step.meaning, step.below, step)
        if len(self.quick) < MEMO_MAX and self.may_remember(key, step):
            self.quick[key] = learned
        return learned

    def may_remember(self, key: object, step: Step) -> bool:
        """Whether a step may be kept with the state, by its key: what a sender can make without end may not."""
        short = not isinstance(key, str) or len(key) <= MEMO_KEY_CHARS
        return short and self.is_kept and (step.below is None or step.below.is_kept)


class _Keys(dict[object, Step]):
    """A state's steps by key, as met, so that a key is folded and matched once."""

    __slots__ = ("_state",)

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state

    def __missing__(self, key: object) -> Step:
        step = self._state.step(key)
        if len(self) < MEMO_MAX and self._state.may_remember(key, step):
            self[key] = step
        return step


class Automaton:
    """Several patterns as one. `start` is the state at the root; `meaning_of` gives what steps carry for their ends.

    With `attributes` a pattern's key `name` also fits `@name`, the key of an attribute in XML. Where the walk stands is
    one integer: a key is matched with all patterns at once, since senders choose keys and may choose ever others.
    """

    def __init__(
        self,
        patterns: Sequence[tuple[Token, ...]],
        meaning_of: Callable[[tuple[int, ...]], Any] = lambda _: None,
        *,
        attributes: bool = True,
    ) -> None:
        self._attributes = attributes
        self._meaning_of = meaning_of
        self._states: dict[Positions, State] = {}
        self._steps: dict[tuple[Positions, object], Step] = {}
        self._before: dict[Token, Positions] = {DEEP: 0, ANY_KEY: 0, ELEMENT: 0, _ANYTHING: 0}
        self._ends: Positions = 0
        self._pattern_at: dict[int, int] = {}
        first: Positions = 0
        place = 0
        for at, pattern in enumerate(patterns):
            first |= 1 << place
            for token in pattern:
                self._before[token] = self._before.get(token, 0) | 1 << place
                place += 1
            self._ends |= 1 << place
            self._pattern_at[place] = at
            place += 1
        self._named = frozenset(token for token in self._before if isinstance(token, str))
        self._words = KeyWords({token for token in self._before if isinstance(token, Word)})
        self.start = self._state(self._closed(first))

    def step(self, positions: Positions, key: object) -> Step:
        """Where `key` (or ELEMENT, or ANY_KEY) leads from `positions`. Keys that no pattern names share one step."""
        name = self._name(key) if isinstance(key, str) else key
        step = self._steps.get((positions, name))
        if step is None:
            moved = (positions & self._matching(name)) << 1
            after = self._closed(moved | (positions & self._before[DEEP]))
            ends = self._ended(after & self._ends)
            live = after & ~self._ends
            step = Step(ends, self._state(live) if live else None, self._meaning_of(ends))
            if len(self._steps) < MEMO_MAX and (step.below is None or step.below.is_kept):
                self._steps[positions, name] = step
        return step

    def _name(self, key: str) -> object:
        """What patterns can tell of a key: which of its names they have, folded, and which of their words it has."""
        folded = key.lower()
        names = self._named & ({folded, _of_attribute(folded)} if self._attributes else {folded})
        words = self._words.of(key)
        return (names, words) if names or words else ANY_KEY

    def _matching(self, name: object) -> Positions:
        """Before which tokens the walk must stand for what is so named to be one of them."""
        before = self._before
        if name is ELEMENT:
            return before[ELEMENT] | before[_ANYTHING]
        matching = before[ANY_KEY] | before[_ANYTHING]
        if isinstance(name, tuple):
            for token in (*name[0], *name[1]):
                matching |= before[token]
        return matching

    def _closed(self, positions: Positions) -> Positions:
        """With what `**` may skip."""
        while skipped := (positions & self._before[DEEP]) << 1 & ~positions:
            positions |= skipped
        return positions

    def _ended(self, ends: Positions) -> tuple[int, ...]:
        """The patterns that end at these places, in order."""
        found = []
        while ends:
            lowest = ends & -ends
            found.append(self._pattern_at[lowest.bit_length() - 1])
            ends ^= lowest
        return tuple(found)

    def _state(self, positions: Positions) -> State:
        state = self._states.get(positions)
        if state is None:
            state = State(self, positions, is_kept=len(self._states) < STATES_MAX)
            if state.is_kept:
                self._states[positions] = state
        return state


def _of_attribute(key: str) -> str:
    """The name of the attribute that a key (`@name`, `@2:name`) stands for; any other key as it is."""
    return key[1:].rpartition(":")[2] if key[:1] == "@" else key
