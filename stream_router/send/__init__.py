"""Command `stream-router send`: signed example events for a receiver, posted as a patient sender would."""
