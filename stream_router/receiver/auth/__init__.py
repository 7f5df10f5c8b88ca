"""Who may send: the schemes and their secrets."""
