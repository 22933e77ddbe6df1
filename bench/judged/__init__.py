"""What it costs to judge many releases at once."""
