"""Passing a request on to the server of the host that it needs."""
