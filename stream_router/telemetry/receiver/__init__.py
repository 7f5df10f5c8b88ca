"""What the receiver tells: its workers' counts, its page, its metrics for CloudWatch."""
