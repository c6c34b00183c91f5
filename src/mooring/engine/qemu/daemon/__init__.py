"""One qemu-storage-daemon: its process, the way to it, and what it is told to do."""
