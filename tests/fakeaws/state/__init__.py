"""What the imitated services remember between two calls: tokens, queues, shards."""
