"""Who uses the disks of a storage daemon, one process a disk."""
