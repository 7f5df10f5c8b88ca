"""From a sender's shape to our fields: which shape an event has, where its fields are, what they say."""
