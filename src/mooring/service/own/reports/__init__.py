"""Questions about many things at once: what somebody looks at who looks after disks."""
