"""Live disks held by qemu-storage-daemon."""
