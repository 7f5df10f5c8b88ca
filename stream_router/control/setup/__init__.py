"""stream-router setup: creates or verifies what runs in AWS."""
