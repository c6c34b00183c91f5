"""Block devices and mounts of this host."""
