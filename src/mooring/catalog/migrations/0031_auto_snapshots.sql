-- An automatic snapshot has no name that a resource could have, and is not listed.
-- auto: why it was taken (add-on, tag, config), null for a manual one.
ALTER TABLE disk_snapshots ADD COLUMN auto TEXT;
CREATE INDEX disk_snapshots_auto ON disk_snapshots (auto, state);
DROP INDEX disk_snapshots_listed;
CREATE INDEX disk_snapshots_listed ON disk_snapshots (region, seq)
    WHERE part_of IS NULL AND auto IS NULL;

-- When the next automatic snapshot of a disk is due, for each reason that it has any.
CREATE TABLE auto_runs (
    resource_id TEXT NOT NULL,
    source TEXT NOT NULL,
    region TEXT NOT NULL,
    policy TEXT NOT NULL,
    next_ms BIGINT NOT NULL,
    within_ms BIGINT NOT NULL,
    PRIMARY KEY (resource_id, source)
);
CREATE INDEX auto_runs_by_time ON auto_runs (next_ms);
