"""Commands about the servers that share a catalog."""
