"""Telling people of troubles: by a webhook, by mail, by a command."""
