"""`stream-router replay`: events of the stream published again, through the present mapping, masking and settings."""
