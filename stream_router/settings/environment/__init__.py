"""How the environment is read: which names are settings, and what is in force."""
