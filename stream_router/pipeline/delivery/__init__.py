"""Sees each item to its end: calls in flight, retries, the circuit breaker, bisection, who is to blame."""
