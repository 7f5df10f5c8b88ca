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
Position = tuple[int, int]
"""Which pattern, and how many of its tokens are behind us."""

_STEP = re.compile(r'(?:"([^"]+)"|(\*\*)|(\*)|<([^<>]+)>|([^.\[\]"*<>]+))?((?:\[\])*)(?:\.(?=.)|$)')
_SPECIAL = {"**": DEEP, "*": ANY_KEY}
MEMO_MAX = 4096
"""Keys that one state remembers, and steps that the automaton does; senders choose the keys, so both are bounded."""
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

    `quick` remembers what was learned by key: who walks many keys looks there first. `unnamed` is the step of every key
    that no pattern names.
    """

    __slots__ = ("_automaton", "_positions", "element", "keys", "quick", "unnamed")

    def __init__(self, automaton: "Automaton", positions: frozenset[Position]) -> None:
        self._automaton = automaton
        self._positions = positions
        self.keys = _Keys(self)
        self.quick: dict[str, Learned] = {}

    def step(self, key: str) -> Step:
        """The step that `key` of an object leads to."""
        return self._automaton.step(self._positions, key)

    def learn(self, key: str) -> "Learned":
        """The entry of `quick` for a key that it lacks."""
        step = self.keys[key]
        learned = (step.meaning, step.below, step)
        if len(self.quick) < MEMO_MAX and len(key) <= MEMO_KEY_CHARS:
            self.quick[key] = learned
        return learned

    def fill(self) -> None:
        """Work out the steps that need no key; apart from construction, since states lead to themselves."""
        self.unnamed = self._automaton.step(self._positions, ANY_KEY)
        self.element = self._automaton.step(self._positions, ELEMENT)


class _Keys(dict[str, Step]):
    """A state's steps by key, as met, so that a key is folded and matched once."""

    __slots__ = ("_state",)

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state

    def __missing__(self, key: str) -> Step:
        step = self._state.step(key)
        if len(self) < MEMO_MAX and len(key) <= MEMO_KEY_CHARS:
            self[key] = step
        return step


class Automaton:
    """Several patterns as one. `start` is the state at the root; `meaning_of` gives what steps carry for their ends.

    With `attributes` a pattern's key `name` also fits `@name`, the key of an attribute in XML.
    """

    def __init__(
        self,
        patterns: Sequence[tuple[Token, ...]],
        meaning_of: Callable[[tuple[int, ...]], Any] = lambda _: None,
        *,
        attributes: bool = True,
    ) -> None:
        self._attributes = attributes
        self._patterns = tuple(patterns)
        self._meaning_of = meaning_of
        self._states: dict[frozenset[Position], State] = {}
        self._steps: dict[tuple[frozenset[Position], object], Step] = {}
        self._named = frozenset(token for pattern in patterns for token in pattern if isinstance(token, str))
        self._words = KeyWords({token for pattern in patterns for token in pattern if isinstance(token, Word)})
        self.start = self._state(self._closed({(at, 0) for at in range(len(patterns))}))

    def step(self, positions: frozenset[Position], key: object) -> Step:
        """Where `key` (or ELEMENT, or ANY_KEY) leads from `positions`. Keys that no pattern names share one step."""
        name = self._name(key) if isinstance(key, str) else key
        step = self._steps.get((positions, name))
        if step is None:
            after = self._closed({p for position in positions for p in self._moved(position, name)})
            ends = tuple(sorted({at for at, done in after if done == len(self._patterns[at])}))
            live = frozenset(p for p in after if p[1] < len(self._patterns[p[0]]))
            step = Step(ends, self._state(live) if live else None, self._meaning_of(ends))
            if len(self._steps) < MEMO_MAX or not isinstance(name, tuple):
                self._steps[positions, name] = step
        return step

    def _name(self, key: str) -> object:
        """What patterns can tell of a key: which of its names they have, folded, and which of their words it has."""
        folded = key.lower()
        names = self._named & ({folded, _of_attribute(folded)} if self._attributes else {folded})
        words = self._words.of(key)
        return (names, words) if names or words else ANY_KEY

    def _moved(self, position: Position, name: object) -> list[Position]:
        at, done = position
        token = self._patterns[at][done]
        if token is DEEP:
            return [position]
        matches = token is name or token is _ANYTHING or (token is ANY_KEY and name is not ELEMENT)
        if not matches and isinstance(name, tuple):
            matches = token in name[0] or token in name[1]
        return [(at, done + 1)] if matches else []

    def _closed(self, positions: set[Position]) -> frozenset[Position]:
        """With what `**` may skip."""
        skipped = set(positions)
        for at, done in positions:
            pattern = self._patterns[at]
            while done < len(pattern) and pattern[done] is DEEP:
                done += 1  # noqa: PLW2901 - it is a cursor
                skipped.add((at, done))
        return frozenset(skipped)

    def _state(self, positions: frozenset[Position]) -> State:
        state = self._states.get(positions)
        if state is None:
            state = self._states[positions] = State(self, positions)
            state.fill()
        return state


def _of_attribute(key: str) -> str:
    """The name of the attribute that a key (`@name`, `@2:name`) stands for; any other key as it is."""
    return key[1:].rpartition(":")[2] if key[:1] == "@" else key
