"""What became of events: `find` and `reconcile` hold stream, checkpoints and queues against each other."""
