"""Telemetry of both programs: percentiles, CloudWatch, snapshots, audit."""
