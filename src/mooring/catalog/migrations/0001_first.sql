-- Names are unique per region across all types of resources.
CREATE TABLE names (
    region TEXT NOT NULL,
    name {name} NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    PRIMARY KEY (region, name)
);

CREATE TABLE instances (
    seq {serial},
    id TEXT NOT NULL UNIQUE,
    region TEXT NOT NULL,
    zone TEXT NOT NULL,
    name TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    support_code TEXT NOT NULL,
    blueprint_id TEXT NOT NULL,
    bundle_id TEXT NOT NULL,
    state TEXT NOT NULL,
    key_pair TEXT,
    ip_address_type TEXT NOT NULL,
    UNIQUE (region, name)
);

CREATE TABLE disks (
    seq {serial},
    id TEXT NOT NULL UNIQUE,
    region TEXT NOT NULL,
    zone TEXT NOT NULL,
    name TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    support_code TEXT NOT NULL,
    size_gb INTEGER NOT NULL,
    state TEXT NOT NULL,
    attachment TEXT NOT NULL,
    instance_id TEXT REFERENCES instances (id),
    path TEXT,
    origin_id TEXT,
    UNIQUE (region, name)
);
CREATE INDEX disks_by_instance ON disks (instance_id);

-- A snapshot outlives its disk, so disk_id refers to nothing.
CREATE TABLE disk_snapshots (
    seq {serial},
    id TEXT NOT NULL UNIQUE,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    support_code TEXT NOT NULL,
    size_gb INTEGER NOT NULL,
    disk_id TEXT NOT NULL,
    disk_name TEXT NOT NULL,
    disk_zone TEXT NOT NULL,
    state TEXT NOT NULL,
    frozen BOOLEAN NOT NULL,
    progress INTEGER NOT NULL,
    pause_us BIGINT,
    parent_id TEXT,
    changed_bytes BIGINT,
    stored_bytes BIGINT,
    completed_ms BIGINT,
    UNIQUE (region, name)
);
CREATE INDEX disk_snapshots_by_disk ON disk_snapshots (disk_id, state);

CREATE TABLE tags (
    resource_id TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT,
    PRIMARY KEY (resource_id, key)
);

CREATE TABLE operations (
    seq {serial},
    id TEXT NOT NULL UNIQUE,
    region TEXT NOT NULL,
    zone TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    resource_name TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    type TEXT NOT NULL,
    details TEXT,
    status TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL,
    error_code TEXT,
    error_details TEXT,
    job_id TEXT
);
CREATE INDEX operations_by_region ON operations (region, seq);
CREATE INDEX operations_by_resource ON operations (region, resource_name, seq);
CREATE INDEX operations_by_job ON operations (job_id);

CREATE TABLE jobs (
    seq {serial},
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    region TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    arguments TEXT NOT NULL,
    step INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    not_before_ms BIGINT NOT NULL,
    undoing BOOLEAN NOT NULL,
    owner TEXT,
    lease_until_ms BIGINT NOT NULL,
    error_code TEXT,
    error_details TEXT
);
CREATE INDEX jobs_by_key ON jobs (key, seq);

-- Answers given, so that a client whose answer was lost gets it when it asks again.
CREATE TABLE answers (
    caller TEXT NOT NULL,
    invocation_id TEXT NOT NULL,
    operation TEXT NOT NULL,
    digest TEXT NOT NULL,
    answer TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (caller, invocation_id)
);
CREATE INDEX answers_by_age ON answers (created_ms);
