"""What operations on instances mean, with addresses and SSH keys."""
