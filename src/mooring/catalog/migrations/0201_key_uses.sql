-- When each access key was last used at any of the servers that share the catalog.
CREATE TABLE key_uses (
    key_id TEXT PRIMARY KEY,
    used_ms BIGINT NOT NULL
);
