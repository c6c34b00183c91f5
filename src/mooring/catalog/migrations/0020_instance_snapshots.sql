CREATE TABLE instance_snapshots (
    seq {serial},
    id TEXT NOT NULL UNIQUE,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    support_code TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    instance_name TEXT NOT NULL,
    instance_zone TEXT NOT NULL,
    blueprint_id TEXT NOT NULL,
    bundle_id TEXT NOT NULL,
    UNIQUE (region, name)
);

-- The parts of an instance snapshot are snapshots of disks like others, but have no name that
-- a client could give.
ALTER TABLE disk_snapshots ADD COLUMN part_of TEXT;
ALTER TABLE disk_snapshots ADD COLUMN disk_path TEXT;
CREATE INDEX disk_snapshots_by_set ON disk_snapshots (part_of);
CREATE INDEX disk_snapshots_listed ON disk_snapshots (region, seq) WHERE part_of IS NULL;

-- Operations may wait for several jobs, which then have a group.
ALTER TABLE jobs ADD COLUMN group_id TEXT;
CREATE INDEX jobs_by_group ON jobs (group_id);
