"""EventBridge's own dead letters: events that the rule's target did not take."""
