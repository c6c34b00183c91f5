"""Reading snapshots back, and comparing them."""
