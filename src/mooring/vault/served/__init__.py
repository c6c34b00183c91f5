"""Completed snapshots, served read-only over NBD by a process of their own."""
