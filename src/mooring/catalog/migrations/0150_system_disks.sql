-- Disks that are an instance's own, and snapshots of them: from_instance_* where an instance was named.
ALTER TABLE disks ADD COLUMN is_system BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE disk_snapshots ADD COLUMN is_system BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE disk_snapshots ADD COLUMN from_instance_id TEXT;
ALTER TABLE disk_snapshots ADD COLUMN from_instance_name TEXT;
