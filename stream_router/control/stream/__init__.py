"""The stream as an operator's command reads it: politely, beside the consumer, which it never disturbs."""
