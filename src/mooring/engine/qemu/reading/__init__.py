"""Reading frozen points: from layer files, and from what a base is filled from."""
