"""An allow-list of paths: what none of them covers is left out of payload and extensions."""

from typing import Any

from stream_router.pipeline.masking.actions import GONE
from stream_router.pipeline.masking.path_patterns import State
from stream_router.pipeline.masking.trace import Hits


def parts(given: dict[str, Any], state: State, hits: Hits) -> dict[str, Any]:
    """Only what is allowed of payload and extensions; the ids always pass."""
    pruned = {}
    for name, value in given.items():
        if name in ("payload", "extensions"):
            step = state.keys[name]
            kept = value if step[0] else _pruned(value, step[1], hits)
            pruned[name] = {} if kept is GONE else kept
        else:
            pruned[name] = value
    return pruned


def _pruned(value: Any, state: State | None, hits: Hits) -> Any:
    kept: Any = GONE
    if state is not None and type(value) is dict:
        steps = ((key, item, state.keys[key]) for key, item in value.items())
        pairs = ((key, item if step[0] else _pruned(item, step[1], hits)) for key, item, step in steps)
        kept = {key: item for key, item in pairs if item is not GONE}
    elif state is not None and type(value) is list:
        step = state.element
        items = (item if step[0] else _pruned(item, step[1], hits) for item in value)
        kept = [item for item in items if item is not GONE]
    if kept is GONE or not kept:
        hits.append("not_allowed")
        return GONE
    return kept
