"""The connection to a server: who asks, which server, over what."""
