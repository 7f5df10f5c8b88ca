"""The KCL daemon as a program: its Java, jars, properties, command line and log."""
