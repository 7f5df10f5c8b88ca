"""Chaos runs: the whole of stream_router under seeded chaos, and a judge of what became of every event."""
