"""How much of what the daemon hands over is taken up at once."""
