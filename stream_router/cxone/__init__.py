"""NICE CXone itself: credentials and event sources."""
