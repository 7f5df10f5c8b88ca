"""The consumer: the supervisor of the KCL's daemon, and the child that handles the records of one shard."""
