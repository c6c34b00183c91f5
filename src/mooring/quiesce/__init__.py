"""Bringing the users of disks to rest while a snapshot is taken."""
