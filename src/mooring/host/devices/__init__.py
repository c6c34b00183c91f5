"""Attached disks as block devices of this host."""
