"""What the programs are told: the only reader of the environment, one module a program."""
