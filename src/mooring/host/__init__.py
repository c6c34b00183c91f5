"""This host: its devices, mounts, room and processes."""
