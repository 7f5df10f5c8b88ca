"""The daemon's side of the child: its protocol, its lines, its callbacks."""
