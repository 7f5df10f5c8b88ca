"""EventBridge of the fake AWS: both kinds of bus, their rules and what these could not deliver."""
