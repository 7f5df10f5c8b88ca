"""Where events wait on disk while the stream is down."""
