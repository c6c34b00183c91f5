"""The NBD protocol; knows no disks and no vault."""
