"""Keeping a vault in order: collection, verification, repair, copies, usage."""
