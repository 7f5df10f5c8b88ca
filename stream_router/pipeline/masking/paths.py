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
"""Set of positions in all paths, as bits: one bit before every token of a path, and one for the path's end."""

_ATTRIBUTE = re.compile(r"@(?:[0-9]{1,5}:)?([^:]+)")
"""Key of an XML attribute, and its name: `@name`, and `@2:name` for the second attribute of that name.

`xml_body` reads at most 20,000 of them. Any other text before the colon may be private.
"""

_STEP = re.compile(r'(?:"([^"]+)"|(\*\*)|(\*)|([^.\[\]"*<>{},]+))?((?:\[\])*)(?:\.(?=.)|$)')
_CHOICE = re.compile(r"\{([^{}]*)\}")
_SPECIAL = {"**": DEEP, "*": ANY_KEY}
MAX_REMEMBERED_KEYS = 4096
"""Maximum number of keys whose steps one state remembers. Senders choose the keys, and could fill the memory."""
MAX_STATES = 1024
"""Maximum number of kept states. Policies have some hundred, but with several `**` senders may combine them."""
MAX_REMEMBERED_KEY_CHARS = 128
"""Maximum length of a remembered key. Some thousands of keys as long as a body would fill the memory."""


def parse_paths(path: str) -> list[tuple[Token, ...]]:
    """Return the tokens of each path that `path` stands for: several if it has choices, as in `{a,b}`.

    Raises ValueError if the text is not a path.
    """
    return [_parse_plain_path(plain) for plain in _expand_choices([path])]


def _expand_choices(paths: list[str]) -> list[str]:
    """Return the paths without braces: `a.{b,c}` becomes `a.b` and `a.c`."""
    while choices := next((match for path in paths if (match := _CHOICE.search(path))), None):
        text = choices[0]
        paths = [path.replace(text, choice, 1) for path in paths for choice in choices[1].split(",")]
    return paths


def _parse_plain_path(path: str) -> tuple[Token, ...]:
    """Return the tokens of a path without braces. Raises ValueError if the text is not a path."""
    path_tokens: list[Token] = []
    at = 0
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None or step.end() == at or not any(step.groups()):
            raise ValueError("is not a path")
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
"""Result of walking to a key or to an array's element: (meaning, state below, rule).

Meaning and rule are what the automaton's owner returned for the paths that end there. The state is None if no path
continues below. A plain tuple unpacks fastest.
"""


class WalkState:
    """Position of a walk through an event, in all paths at once.

    `steps` has the remembered steps by key; a caller looks there before it calls `find_step`. `is_kept` is false for a
    state beyond MAX_STATES, which must not be remembered.
    """

    __slots__ = ("_automaton", "_positions", "_unnamed_steps", "element", "is_kept", "steps")

    def __init__(self, automaton: "Automaton", positions: Positions, *, is_kept: bool) -> None:
        self._automaton = automaton
        self._positions = positions
        self._unnamed_steps: dict[bool, Step] = {}
        """The two steps of keys that no path names, by whether the key looks like a value."""
        self.is_kept = is_kept
        self.steps: dict[str, Step] = {}
        self.element: Step | None = None

    def find_step(self, key: str) -> Step:
        """Return the step for a key that `steps` lacks, and remember it if there is room."""
        matching = self._automaton.match_key(key)
        if matching:
            step = self._automaton.step(self._positions, matching, key)
            is_kept = step[1] is None or step[1].is_kept
        else:
            step, is_kept = self._find_unnamed_step(key)
        # A state that is not kept must be freed with its event, so its step is not remembered here.
        if is_kept and len(self.steps) < MAX_REMEMBERED_KEYS and len(key) <= MAX_REMEMBERED_KEY_CHARS:
            self.steps[key] = step
        return step

    def _find_unnamed_step(self, key: str) -> tuple[Step, bool]:
        """Return the step for a key that no path names, and whether the step's state is kept.

        An event may have 100,000 such keys, but there are only two steps: for keys that look like values, and others.
        """
        is_value_like = self._automaton.is_value_like(key)
        step = self._unnamed_steps.get(is_value_like)
        if step is not None:
            return step, True
        step = self._automaton.step(self._positions, 0, key)
        is_kept = step[1] is None or step[1].is_kept
        if is_kept:
            self._unnamed_steps[is_value_like] = step
        return step, is_kept

    def step_of_key(self, key: str) -> Step:
        """Return the step that a key leads to."""
        return self.steps.get(key) or self.find_step(key)

    def step_of_element(self) -> Step:
        """Return the step that any element of an array leads to."""
        if self.element is None:
            self.element = self._automaton.step(self._positions, 0, None)
        return self.element


class Automaton:
    """Automaton of several paths. `start` is the state at the root.

    The owner's `meaning_of(ends, is_value_like)` returns meaning and rule of a step. `ends` are the indexes of paths
    that end there, in order. `is_value_like` is the result of the owner's function of this name for a key that no path
    matches, neither by its name nor by `*`; otherwise it is false. The position of the walk is one integer, so that a
    key is matched with all paths at once: senders choose the keys, and may always choose new ones.
    """

    def __init__(
        self,
        paths: Sequence[tuple[Token, ...]],
        meaning_of: Callable[[tuple[int, ...], bool], tuple[Any, Any]],
        is_value_like: Callable[[str], bool],
    ) -> None:
        self._meaning_of = meaning_of
        self.is_value_like = is_value_like
        self._states: dict[Positions, WalkState] = {}
        self._positions_before: dict[Token, Positions] = {DEEP: 0, ANY_KEY: 0, ELEMENT: 0, ANYTHING: 0}
        """Positions directly before each token, in all paths."""
        self._ends: Positions = 0
        """Positions at the end of a path."""
        self._path_at: dict[int, int] = {}
        """Index of the path that ends at a position, by the number of the position's bit."""
        first: Positions = 0
        place = 0
        for at, path in enumerate(paths):
            first |= 1 << place
            for token in path:
                self._positions_before[token] = self._positions_before.get(token, 0) | 1 << place
                place += 1
            self._ends |= 1 << place
            self._path_at[place] = at
            place += 1
        self.start = self._state(self._with_skipped(first))

    def step(self, positions: Positions, matching: Positions, key: str | None) -> Step:
        """Return the step of `key` from `positions`.

        `matching` is the result of `match_key` for this key. The key None stands for an element of an array.
        """
        wildcard = self._positions_before[ELEMENT if key is None else ANY_KEY] | self._positions_before[ANYTHING]
        # One bit further is one token further in a path. A position before `**` stays too, since `**` may go on.
        moved = (positions & (wildcard | matching)) << 1
        after = self._with_skipped(moved | (positions & self._positions_before[DEEP]))
        live = after & ~self._ends
        is_value_like = key is not None and not moved and self.is_value_like(key)
        meaning, rule = self._meaning_of(tuple(self._ending_paths(after & self._ends)), is_value_like)
        return meaning, self._state(live) if live else None, rule

    def match_key(self, key: str) -> Positions:
        """Return the positions before the tokens that `key` matches by name; 0 if no path names the key."""
        folded = key.lower()
        before = self._positions_before
        matching = before.get(folded, 0)
        if folded[:1] == "@" and (attribute := _ATTRIBUTE.fullmatch(folded)):
            matching |= before.get(attribute[1], 0)
        return matching

    def _with_skipped(self, positions: Positions) -> Positions:
        """Return the positions and those behind each `**`, since `**` may also stand for no level."""
        while skipped := (positions & self._positions_before[DEEP]) << 1 & ~positions:
            positions |= skipped
        return positions

    def _ending_paths(self, ends: Positions) -> Iterator[int]:
        """Yield the indexes of the paths that end at these positions, in order."""
        while ends:
            lowest = ends & -ends
            yield self._path_at[lowest.bit_length() - 1]
            ends ^= lowest

    def _state(self, positions: Positions) -> WalkState:
        """Return the state at these positions: a kept one if there is one, otherwise a new one."""
        state = self._states.get(positions)
        if state is None:
            state = WalkState(self, positions, is_kept=len(self._states) < MAX_STATES)
            if state.is_kept:
                self._states[positions] = state
        return state
