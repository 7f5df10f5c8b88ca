"""Dead letters: what one looks like as SQS messages, and how each is seen stored."""
