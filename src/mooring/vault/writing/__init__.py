"""Storing a snapshot: only what changed, shared and compressed."""
