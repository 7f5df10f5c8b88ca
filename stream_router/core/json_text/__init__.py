"""JSON beyond what the fast parser gives: several documents in one text, its depth, its members' own text."""
