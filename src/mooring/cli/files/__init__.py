"""Files out of a snapshot: read by this program, without mounting anything."""
