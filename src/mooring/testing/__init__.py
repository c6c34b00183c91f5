"""For those who test their own code against Lightsail: a server, and fixtures of pytest."""
