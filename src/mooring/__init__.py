"""Mooring: block-storage disks and instant snapshots behind the Lightsail API."""
