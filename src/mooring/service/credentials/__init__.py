"""Access keys and other secrets, in files that nobody else may read."""
