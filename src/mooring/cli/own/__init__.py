"""Commands of Mooring's own, which `aws lightsail` does not have."""
