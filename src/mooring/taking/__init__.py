"""Taking snapshots: what is recorded, the freeze, and whether it counts."""
