"""What servers of one catalog know of each other."""
