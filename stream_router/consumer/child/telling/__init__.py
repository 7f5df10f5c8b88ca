"""What a child says of its work: metrics, vitals, holds, dead letters."""
