-- What timers and starts ask of a large catalog, in a time that does not grow with it
-- (docs/design/scale.md).
DROP INDEX auto_runs_by_time;
CREATE INDEX auto_runs_by_time ON auto_runs (enabled, next_ms, resource_id, source);
CREATE INDEX auto_runs_by_start ON auto_runs (enabled, (next_ms - within_ms), resource_id, source);
CREATE INDEX auto_runs_by_policy ON auto_runs (source, policy);
CREATE INDEX disks_by_zone ON disks (zone, seq);
CREATE INDEX disks_in_use ON disks (zone) WHERE instance_id IS NOT NULL;
CREATE INDEX instances_by_zone ON instances (zone, seq);
CREATE INDEX disk_snapshots_lost ON disk_snapshots (region) WHERE lost IS NOT NULL;
CREATE INDEX key_pairs_by_region ON key_pairs (region, seq);
CREATE INDEX static_ips_by_region ON static_ips (region, seq);
