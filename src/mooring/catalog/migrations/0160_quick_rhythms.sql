-- Whoever begins automatic snapshots asks what is pending, every second if need be, and what a disk
-- has that is newest.
CREATE INDEX disk_snapshots_by_state ON disk_snapshots (state);
DROP INDEX disk_snapshots_by_disk;
CREATE INDEX disk_snapshots_by_disk ON disk_snapshots (disk_id, state, seq);
