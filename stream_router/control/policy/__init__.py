"""stream-router setup --policy: the least IAM policy of each program, for the settings at hand."""
