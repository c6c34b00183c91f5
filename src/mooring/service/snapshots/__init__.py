"""What operations on snapshots of both kinds mean."""
