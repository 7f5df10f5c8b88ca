"""The queue's side: messages held, letters gathered, selected, put back."""
