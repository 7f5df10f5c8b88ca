"""`stream-router shards`: the load of each shard against its limits, and resharding with its rules explained."""
