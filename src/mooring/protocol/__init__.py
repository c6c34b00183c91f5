"""AWS JSON 1.1, pure: no sockets, no disks."""
