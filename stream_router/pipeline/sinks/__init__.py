"""Destinations of an event: the event bus, the dead-letter queue, and S3 for what is too large for either."""
