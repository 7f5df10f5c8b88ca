"""`stream-router send`: signed example events for a receiver, as a patient sender posts them."""
