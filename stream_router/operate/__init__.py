"""The operator's hands: what prepares AWS, and takes it away again."""
