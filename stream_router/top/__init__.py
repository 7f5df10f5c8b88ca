"""`stream-router top`: the live view in a terminal, over the admin ports alone."""
