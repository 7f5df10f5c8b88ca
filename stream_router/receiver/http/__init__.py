"""HTTP: what CXone talks to. Bodies, headers, answers, TLS."""
