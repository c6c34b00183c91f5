"""The AWS front door."""
