"""Phone numbers in free text: how they are written, what announces them, whose they are otherwise."""
