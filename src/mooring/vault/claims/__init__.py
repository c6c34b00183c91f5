"""Who may write, read or collect in a vault at one time."""
