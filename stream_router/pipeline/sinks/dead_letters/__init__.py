"""Dead letters: their form as SQS messages, how they are stored in the queue, and how they are read."""
