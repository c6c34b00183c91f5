"""Who uses the disks of a storage daemon: found, named, and kept to one process a disk."""
