"""Processes that outlive their starter, and what keeps two from being one too many."""
