"""Command `stream-router top`: a live view in a terminal, made from the admin ports alone."""
