"""What the supervisor asks AWS every so often for all its children: the bus, the rule, the stream."""
