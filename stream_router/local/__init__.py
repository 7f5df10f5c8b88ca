"""The embedded stack and the demo: development only, nothing else imports it."""
