"""What the shards tell: each child's metrics, and the worker's pages that add them up."""
