"""Events published again: how `dlq redrive` and `replay` send what was once in the stream."""
