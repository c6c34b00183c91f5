"""The user's command, mooring: standard library only."""
