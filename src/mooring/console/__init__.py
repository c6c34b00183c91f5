"""The console: pages for browsers, which ask the service with their caller's key."""
