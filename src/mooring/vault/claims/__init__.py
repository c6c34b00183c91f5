"""Who may write, read or collect in a vault at the same time."""
