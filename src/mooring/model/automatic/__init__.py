"""The rules of automatic snapshots."""
