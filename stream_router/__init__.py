"""NICE CXone webhooks to Amazon EventBridge through Kinesis, with nothing lost."""
