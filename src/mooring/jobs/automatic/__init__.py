"""Automatic snapshots: what is due, its freeze, what is kept, what failed."""
