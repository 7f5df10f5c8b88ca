"""The functional core: records in, PutEvents calls and dead letters out. Read `route` first."""
