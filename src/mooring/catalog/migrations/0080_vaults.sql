-- Which vault each region has, and which vault each place of a copy has had a copy of (the vault's
-- own row has no copy): what is found there must be that one.
CREATE TABLE vaults (
    region TEXT NOT NULL,
    copy TEXT NOT NULL,
    vault_id TEXT NOT NULL,
    noted_ms BIGINT NOT NULL,
    PRIMARY KEY (region, copy)
);

-- A snapshot that was completed and has no root in the vault any more: missing, or given-up once
-- somebody has said that it will not come back. NULL for all others.
ALTER TABLE disk_snapshots ADD COLUMN lost TEXT;
