-- What was exported into files. The column disks is JSON.
CREATE TABLE export_records (
    seq {serial},
    id TEXT NOT NULL UNIQUE,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    state TEXT NOT NULL,
    progress INTEGER NOT NULL,
    source_type TEXT NOT NULL,
    source_id TEXT NOT NULL,
    source_name TEXT NOT NULL,
    source_created_ms BIGINT NOT NULL,
    from_id TEXT NOT NULL,
    from_name TEXT NOT NULL,
    bundle_id TEXT,
    blueprint_id TEXT,
    disks TEXT NOT NULL,
    destination TEXT NOT NULL
);
CREATE INDEX export_records_by_region ON export_records (region, seq);
