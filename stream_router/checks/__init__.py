"""What can be wrong outside the settings: each check one function with a stable code, for start and doctor."""
