"""What the admin port shows: health, status, the hour of history."""
