"""Commands after a loss: recover, restore-catalog."""
