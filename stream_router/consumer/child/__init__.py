"""The child that the daemon starts for each shard: protocol, window, watermark, checkpoints."""
