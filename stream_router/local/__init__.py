"""Embedded stack and demo. They are for development only, and no other package imports them."""
