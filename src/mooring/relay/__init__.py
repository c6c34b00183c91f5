"""Attached disks for machines on other hosts: over TCP, with TLS, to the storage daemons."""
