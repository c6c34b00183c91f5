"""The way to a server: who asks, which server, over what."""
