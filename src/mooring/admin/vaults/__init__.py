"""Commands about vaults and the snapshots in them."""
