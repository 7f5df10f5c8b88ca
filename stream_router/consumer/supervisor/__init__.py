"""The consume program: finds Java, starts the KCL daemon and keeps it running, checks bus and rule."""
