"""What concerns a whole process: signals, its parent, files written whole, errors that end it, failpoints."""
