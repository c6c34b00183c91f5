-- A copy holds what another snapshot holds: that one's id, which may be gone since.
ALTER TABLE disk_snapshots ADD COLUMN content_id TEXT;
ALTER TABLE disk_snapshots ADD COLUMN from_auto BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX disk_snapshots_by_content ON disk_snapshots (content_id);
