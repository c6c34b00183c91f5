-- The servers that use the catalog, if it is one that several can use. Times are the database's.
CREATE TABLE servers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    version TEXT NOT NULL,
    lanes TEXT NOT NULL,
    started_ms BIGINT NOT NULL,
    seen_ms BIGINT NOT NULL,
    ended BOOLEAN NOT NULL
);
