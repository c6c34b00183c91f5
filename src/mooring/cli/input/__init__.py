"""What is typed: options and values, and what becomes of them."""
