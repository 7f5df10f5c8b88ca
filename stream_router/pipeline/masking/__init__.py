"""Masking of private data in events. To follow an event's way through the pipeline, this package is not needed."""
