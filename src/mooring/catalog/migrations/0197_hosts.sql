-- The hosts that disks are on, each with the id of its server. Times are the database's.
-- The generation grows with each start and with fencing (docs/design/hosts.md).
CREATE TABLE hosts (
    id TEXT PRIMARY KEY,
    name {name} NOT NULL,
    zones TEXT NOT NULL,
    address TEXT NOT NULL,
    secret TEXT NOT NULL,
    version TEXT NOT NULL,
    state TEXT NOT NULL,
    generation BIGINT NOT NULL,
    capacity_bytes BIGINT NOT NULL,
    free_bytes BIGINT NOT NULL,
    seen_ms BIGINT NOT NULL
);
-- Where the layers of a disk are, and those of an instance's disks. Empty: on the only host there
-- is, or on none yet.
ALTER TABLE disks ADD COLUMN host TEXT NOT NULL DEFAULT '';
ALTER TABLE instances ADD COLUMN host TEXT NOT NULL DEFAULT '';
CREATE INDEX disks_by_host ON disks (host, seq) WHERE host <> '';
CREATE INDEX instances_by_host ON instances (host, seq) WHERE host <> '';
