"""Sets the constants that a test wants (`tests/constants`); Python imports this first, since it is on PYTHONPATH."""

import importlib
import os

for item in filter(None, os.environ.get("TESTED_WITH_CONSTANTS", "").split(",")):
    place, _, value = item.partition("=")
    module, _, name = place.partition(":")
    holder = importlib.import_module(module)
    setattr(holder, name, type(getattr(holder, name))(float(value)))
