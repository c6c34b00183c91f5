"""One qemu-storage-daemon: its process, the connection to it, and its commands."""
