"""The operator's hands: set-up, doctor, redrive."""
