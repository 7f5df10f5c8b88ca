"""The operator's commands: what prepares AWS, and takes it away again."""
