"""The KCL side: supervises the daemon, adapts one shard to the pipeline."""
