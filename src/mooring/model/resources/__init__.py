"""Resources as values, with their states."""
