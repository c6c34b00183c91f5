"""Frozen disks: the snapshot store."""
