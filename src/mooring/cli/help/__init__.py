"""What `mooring help` says."""
