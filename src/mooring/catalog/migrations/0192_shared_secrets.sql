-- Secrets that all servers of a catalog use, such as access keys. No table has the key that opens them.
CREATE TABLE shared_secrets (
    name TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    sealed TEXT NOT NULL
);
-- What lets further servers have that key. `proof` and `wrapped` are of no use without the secret.
CREATE TABLE join_secrets (
    id TEXT PRIMARY KEY,
    proof TEXT NOT NULL,
    wrapped TEXT NOT NULL,
    once BOOLEAN NOT NULL,
    created_ms BIGINT NOT NULL,
    ends_ms BIGINT
);
