"""The child that the daemon starts for each shard: its protocol, its watermark, its checkpoints, its way through."""
