"""Kinesis of the fake AWS: what is put, kept and read."""
