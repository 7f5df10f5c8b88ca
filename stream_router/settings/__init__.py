"""Settings of the programs: the only reader of the environment, one module for each program."""
