"""Requests of Mooring's own, beyond Lightsail's API: questions and actions below `/mooring/`."""
