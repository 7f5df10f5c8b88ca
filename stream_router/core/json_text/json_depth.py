"""How deep a parsed JSON value nests, told without recursion: the answer is the same on every Python."""

import orjson

from stream_router.core import limits


def levels(value: object) -> int:
    """Levels of objects and arrays, one within the other."""
    count, level = 0, [value]
    while nested := [item for item in level if type(item) is dict or type(item) is list]:
        count += 1
        level = [inner for item in nested for inner in (item.values() if type(item) is dict else item)]
    return count


def is_too_deep(value: object) -> bool:
    """Whether `value`, as a JSON parser gave it, nests deeper than an event may; quick where it nests little."""
    try:
        orjson.dumps(value)
    except TypeError:  # deeper than 254 levels, or (of the standard library's parser) with a surrogate alone
        return levels(value) > limits.EVENT_MAX_DEPTH
    return False
