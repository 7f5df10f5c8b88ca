"""Access to AWS: the data plane over libcurl, the control plane over boto3."""
