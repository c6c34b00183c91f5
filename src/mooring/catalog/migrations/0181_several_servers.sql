-- What a job needs that one server has: an image's socket, a directory. Empty: any server will do.
ALTER TABLE jobs ADD COLUMN server TEXT NOT NULL DEFAULT '';
-- When the servers of a catalog last began what comes around, by the database's clock.
CREATE TABLE rounds (
    kind TEXT NOT NULL,
    region TEXT NOT NULL,
    begun_ms BIGINT NOT NULL,
    PRIMARY KEY (kind, region)
);
