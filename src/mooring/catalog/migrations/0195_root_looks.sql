-- What the last comparison of a vault with the catalog has found, for servers that share them.
CREATE TABLE root_looks (
    region TEXT PRIMARY KEY,
    vault_id TEXT NOT NULL,
    closed TEXT,
    missing INTEGER NOT NULL,
    unknown INTEGER NOT NULL,
    seen_ms BIGINT NOT NULL
);
