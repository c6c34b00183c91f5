"""What watches vaults and file systems between jobs."""
