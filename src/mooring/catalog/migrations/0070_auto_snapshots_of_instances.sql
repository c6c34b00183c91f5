-- Of instances as of disks: auto says why it was taken (add-on, tag, config), null for a manual one.
ALTER TABLE instance_snapshots ADD COLUMN auto TEXT;
ALTER TABLE instance_snapshots ADD COLUMN from_auto BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX instance_snapshots_listed ON instance_snapshots (region, seq) WHERE auto IS NULL;
CREATE INDEX instance_snapshots_auto ON instance_snapshots (instance_id) WHERE auto IS NOT NULL;

-- One kind of job freezes both.
UPDATE jobs SET kind = 'freeze' WHERE kind = 'freeze_disk';
