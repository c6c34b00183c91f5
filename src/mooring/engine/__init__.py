"""Live disks."""
