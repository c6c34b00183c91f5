-- Jobs say what zone they need, for which version of their procedure they were made, what they read,
-- and how often they were taken. Those of before have version 0, and Jobs.upgrade brings them to 1.
ALTER TABLE jobs ADD COLUMN zone TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
CREATE TABLE job_reads (
    job_id TEXT NOT NULL,
    snapshot_id TEXT NOT NULL,
    PRIMARY KEY (job_id, snapshot_id)
);
CREATE INDEX job_reads_by_snapshot ON job_reads (snapshot_id);
