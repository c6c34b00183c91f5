"""Merging layers that nobody needs any more: past the daemon, or by it."""
