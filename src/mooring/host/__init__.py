"""Block devices and mounts of this host; standard library only."""
