"""stream-router doctor: everything that can be wrong, one line each with a stable code and the cure."""
