"""The add-on of automatic snapshots, and those that were taken."""
