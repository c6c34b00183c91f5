"""Commands about keys and grants."""
