"""What people see at a glance, on the command line and in the console."""
