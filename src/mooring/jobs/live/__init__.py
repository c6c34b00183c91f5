"""What is done with disks that may be in use: forks, growth, reverts."""
