"""`stream-router plan`: what a load takes, what binds first, what it costs; from measured figures and quotas."""
