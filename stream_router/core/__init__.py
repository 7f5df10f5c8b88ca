"""What every part knows, no network needed: the data that stages hand each other, the envelope, AWS's words."""
