"""How far a shard is, and what a later process is told of it."""
