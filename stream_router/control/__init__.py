"""The operator's hands: set-up, what masking shows, the check of an audit file."""
