"""`stream-router doctor`: checks of a deployment, one line each with a stable code and the cure."""
