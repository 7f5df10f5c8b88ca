"""How AWS is reached: the data plane over libcurl, the control plane over boto3."""
