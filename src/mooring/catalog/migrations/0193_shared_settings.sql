-- What holds for all servers of a catalog that several can use. Values are JSON, times the database's.
CREATE TABLE shared_settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    server TEXT NOT NULL,
    changed_ms BIGINT NOT NULL
);
-- The zones that there are, each with the server that has its disks.
CREATE TABLE zones (
    name TEXT PRIMARY KEY,
    region TEXT NOT NULL,
    server_id TEXT NOT NULL
);
