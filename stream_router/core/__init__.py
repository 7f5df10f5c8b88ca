"""What every part knows and no network is needed for: the data that stages hand each other, the envelope, AWS's words."""
