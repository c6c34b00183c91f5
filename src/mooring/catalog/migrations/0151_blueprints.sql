-- Snapshots from which instances get a system disk: for which platform they are, null for others.
ALTER TABLE disk_snapshots ADD COLUMN blueprint TEXT;
CREATE INDEX disk_snapshots_blueprints ON disk_snapshots (region, seq) WHERE blueprint IS NOT NULL;
