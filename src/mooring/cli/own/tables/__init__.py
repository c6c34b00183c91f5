"""The commands that `aws lightsail` does not have, by what they are about."""
