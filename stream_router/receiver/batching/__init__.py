"""Many requests into few PutRecords calls, in order."""
