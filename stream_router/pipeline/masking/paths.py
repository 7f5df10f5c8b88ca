"""Paths over JSON, compiled into one automaton: a key of an event is looked up once for all paths.

A path consists of steps joined by dots. A step is a key in any case, `*` for any key of an object, or `[]` for any
element of an array, also as in `fields[]`. `**` is any number of levels, at the end one or more, and `{a,b}` either
step. A key that contains one of these signs is in double quotes. A key `name` also fits `@name` and `@2:name`, the keys
of attributes in XML.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

DEEP, ANY_KEY, ELEMENT = object(), object(), object()
ANYTHING = object()
"""One level of any kind, which `**` at the end of a path needs at least."""

Token = object
Positions = int
"""Set of bits. Each path has one bit for every token that may come next, and one for its end."""

_ATTRIBUTE = re.compile(r"@(?:[0-9]{1,5}:)?([^:]+)")
"""Key of an XML attribute, and its name: `@name`, and `@2:name` for the second attribute of that name.

`xml_body` reads at most 20,000 of them. Any other text before the colon may be private.
"""

_STEP = re.compile(r'(?:"([^"]+)"|(\*\*)|(\*)|([^.\[\]"*<>{},]+))?((?:\[\])*)(?:\.(?=.)|$)')
_CHOICE = re.compile(r"\{([^{}]*)\}")
_SPECIAL = {"**": DEEP, "*": ANY_KEY}
MEMO_MAX = 4096
"""Maximum number of keys that one state remembers. It is bounded, since senders choose the keys."""
STATES_MAX = 1024
"""Maximum number of kept states. Policies have some hundred, but with several `**` senders may combine them."""
MEMO_KEY_CHARS = 128
"""Maximum length of a remembered key. Some thousands of keys as long as a body would fill the memory."""


def tokens(path: str) -> list[tuple[Token, ...]]:
    """Return the tokens of each path that `path` stands for. Raise ValueError if it cannot be read."""
    return [_tokens(plain) for plain in _chosen([path])]


def _chosen(paths: list[str]) -> list[str]:
    while choices := next((match for path in paths if (match := _CHOICE.search(path))), None):
        text = choices[0]
        paths = [path.replace(text, choice, 1) for path in paths for choice in choices[1].split(",")]
    return paths


def _tokens(path: str) -> tuple[Token, ...]:
    path_tokens: list[Token] = []
    at = 0
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None or step.end() == at or not any(step.groups()):
            raise ValueError("is no path")
        quoted, deep, any_key, key, elements = step.groups()
        if name := quoted or key:
            path_tokens.append(name.lower())
        elif (special := deep or any_key) and not (
            deep and path_tokens[-1:] == [DEEP]
        ):  # two `**` in succession are the same as one
            path_tokens.append(_SPECIAL[special])
        path_tokens.extend([ELEMENT] * (len(elements) // 2))
        at = step.end()
    if not path_tokens:
        raise ValueError("is empty")
    if path_tokens[-1] is DEEP:
        path_tokens.append(ANYTHING)
    return tuple(path_tokens)


Step = tuple[Any, "WalkState | None", Any]
"""Result of a key or an element, as a plain tuple, since that unpacks fastest.

The first and the last item are the meaning that the automaton's owner gave to the paths that end there. The second is
the state below, None if no path continues.
"""


class WalkState:
    """Position of the walk in all paths at once. `steps` has the known steps by key; a caller checks it first."""

    __slots__ = ("_automaton", "_positions", "_unnamed", "element", "is_kept", "steps")

    def __init__(self, automaton: "Automaton", positions: Positions, *, is_kept: bool) -> None:
        self._automaton = automaton
        self._positions = positions
        self._unnamed: dict[bool, Step] = {}
        self.is_kept = is_kept
        self.steps: dict[str, Step] = {}
        self.element: Step | None = None

    def learn(self, key: str) -> Step:
        """Return the step for a key that `steps` lacks, and remember it if there is room."""
        named = self._automaton.named(key)
        if named:
            step = self._automaton.step(self._positions, named, key)
            is_kept = step[1] is None or step[1].is_kept
        else:
            step, is_kept = self._unnamed_step(key)
        # A state that is not kept must end with its event, so it may not be remembered here.
        if is_kept and len(self.steps) < MEMO_MAX and len(key) <= MEMO_KEY_CHARS:
            self.steps[key] = step
        return step

    def _unnamed_step(self, key: str) -> tuple[Step, bool]:
        """Return the step for a key that no path names, and whether its state is kept.

        An event may have 100,000 such keys, and all of them have the same two steps.
        """
        is_odd = self._automaton.is_odd(key)
        step = self._unnamed.get(is_odd)
        if step is not None:
            return step, True
        step = self._automaton.step(self._positions, 0, key)
        is_kept = step[1] is None or step[1].is_kept
        if is_kept:
            self._unnamed[is_odd] = step
        return step, is_kept

    def of_key(self, key: str) -> Step:
        """Return the step that a key leads to."""
        return self.steps.get(key) or self.learn(key)

    def of_element(self) -> Step:
        """Return the step that any element of an array leads to."""
        if self.element is None:
            self.element = self._automaton.step(self._positions, 0, None)
        return self.element


class Automaton:
    """Automaton of several paths. `start` is the state at the root.

    `meaning_of(ends, is_odd)` returns the first and the last item of a step. `ends` are the paths that end there, in
    order. `is_odd` is the result of the owner's `is_odd` for a key that no path names, by itself or by `*`. The
    position of the walk is one integer, so that a key is matched with all paths at once: senders choose the keys, and
    may always choose new keys.
    """

    def __init__(
        self,
        paths: Sequence[tuple[Token, ...]],
        meaning_of: Callable[[tuple[int, ...], bool], tuple[Any, Any]],
        is_odd: Callable[[str], bool],
    ) -> None:
        self._meaning_of = meaning_of
        self.is_odd = is_odd
        self._states: dict[Positions, WalkState] = {}
        self._before: dict[Token, Positions] = {DEEP: 0, ANY_KEY: 0, ELEMENT: 0, ANYTHING: 0}
        self._ends: Positions = 0
        self._path_at: dict[int, int] = {}
        first: Positions = 0
        place = 0
        for at, path in enumerate(paths):
            first |= 1 << place
            for token in path:
                self._before[token] = self._before.get(token, 0) | 1 << place
                place += 1
            self._ends |= 1 << place
            self._path_at[place] = at
            place += 1
        self.start = self._state(self._closed(first))

    def step(self, positions: Positions, named: Positions, key: str | None) -> Step:
        """Return the step of `key` from `positions`. `named` is its result of `named`; a key of None is an element."""
        any_of_kind = self._before[ELEMENT if key is None else ANY_KEY] | self._before[ANYTHING]
        moved = (positions & (any_of_kind | named)) << 1
        after = self._closed(moved | (positions & self._before[DEEP]))
        live = after & ~self._ends
        is_odd = key is not None and not moved and self.is_odd(key)
        meaning, rule = self._meaning_of(tuple(self._ended(after & self._ends)), is_odd)
        return meaning, self._state(live) if live else None, rule

    def named(self, key: str) -> Positions:
        """Return the positions before the names that `key` matches; 0 if no path names it."""
        folded = key.lower()
        before = self._before
        matching = before.get(folded, 0)
        if folded[:1] == "@" and (attribute := _ATTRIBUTE.fullmatch(folded)):
            matching |= before.get(attribute[1], 0)
        return matching

    def _closed(self, positions: Positions) -> Positions:
        """Return the positions together with those to which `**` may skip."""
        while skipped := (positions & self._before[DEEP]) << 1 & ~positions:
            positions |= skipped
        return positions

    def _ended(self, ends: Positions) -> Iterator[int]:
        """Yield the paths that end at these places, in order."""
        while ends:
            lowest = ends & -ends
            yield self._path_at[lowest.bit_length() - 1]
            ends ^= lowest

    def _state(self, positions: Positions) -> WalkState:
        state = self._states.get(positions)
        if state is None:
            state = WalkState(self, positions, is_kept=len(self._states) < STATES_MAX)
            if state.is_kept:
                self._states[positions] = state
        return state
