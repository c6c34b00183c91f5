"""Where a vault keeps its objects."""
