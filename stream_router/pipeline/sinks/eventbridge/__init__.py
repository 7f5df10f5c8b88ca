"""PutEvents: which entries share a call, what the call looks like, in which order a conversation goes."""
