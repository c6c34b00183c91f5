"""What Mooring tells beyond Lightsail's API: `GET /mooring/<name>?<member>=<value>`, signed."""
