"""Mapping of a sender's event to our fields: recognition of its shape, and extraction of its fields."""
