"""What requests, jobs and the taking of snapshots stand on, in one bag."""
