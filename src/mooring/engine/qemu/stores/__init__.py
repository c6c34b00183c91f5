"""Where the layers of disks lie: in folders of this host, or elsewhere."""
