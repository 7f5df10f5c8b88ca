"""What is private in an event, and what becomes of it. Nobody who follows an event need read this."""
