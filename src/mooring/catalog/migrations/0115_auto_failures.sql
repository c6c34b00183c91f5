-- Automatic snapshots that were not taken or not stored: one row for each piece of time that has
-- none for it, however often it was tried.
CREATE TABLE auto_failures (
    resource_id TEXT NOT NULL,
    source TEXT NOT NULL,
    piece_ms BIGINT NOT NULL,
    first_ms BIGINT NOT NULL,
    last_ms BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (resource_id, source, piece_ms)
);

-- Since when they are wanted so, 0 for longer than is known.
ALTER TABLE auto_runs ADD COLUMN since_ms BIGINT NOT NULL DEFAULT 0;
