"""SQS of the fake AWS: what is sent, kept, received and deleted."""
