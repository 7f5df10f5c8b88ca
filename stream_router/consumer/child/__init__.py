"""The child, which the daemon starts for each shard: protocol, window, watermark, checkpoints, crash guard."""
