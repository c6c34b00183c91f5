-- How consistent a snapshot is: at first NULL, and for good where the server was killed meanwhile.
ALTER TABLE disk_snapshots ADD COLUMN consistency TEXT;
ALTER TABLE disk_snapshots ADD COLUMN rest_us BIGINT;
ALTER TABLE disk_snapshots ADD COLUMN rest_problem TEXT NOT NULL DEFAULT '';
