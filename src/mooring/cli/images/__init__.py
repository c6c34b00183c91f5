"""Image files: out of snapshots, and into them."""
