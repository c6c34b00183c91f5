-- Pages of a region, and jobs that are due, in a time that does not grow with the rest.
CREATE INDEX disks_by_region ON disks (region, seq);
CREATE INDEX instances_by_region ON instances (region, seq);
CREATE INDEX disk_snapshots_by_region ON disk_snapshots (region, seq);
CREATE INDEX jobs_by_lease ON jobs (lease_until_ms, not_before_ms);
