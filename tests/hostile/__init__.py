"""Hostile inputs, kept."""
