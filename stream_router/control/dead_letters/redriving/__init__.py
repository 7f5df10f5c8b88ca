"""Dead letters back to life: opened again, tried, published, settled."""
