"""The thin HTTP receiver: CXone webhooks in, Kinesis records out."""
