"""What became of events: `find` holds stream, checkpoints and queues against each other."""
