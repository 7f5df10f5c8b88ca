"""Secrets that stand elsewhere, and what is too weak to be one."""
