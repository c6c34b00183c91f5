-- Slots of addresses, static IPs and SSH key pairs. No two have the same slot.
ALTER TABLE instances ADD COLUMN slot INTEGER;
UPDATE instances SET slot = (SELECT COUNT(*) FROM instances AS older WHERE older.seq < instances.seq);
CREATE UNIQUE INDEX instances_by_slot ON instances (slot);
CREATE TABLE static_ips (
    seq {serial},
    id TEXT NOT NULL UNIQUE,
    region TEXT NOT NULL,
    name {name} NOT NULL,
    created_ms BIGINT NOT NULL,
    slot INTEGER NOT NULL UNIQUE,
    instance_id TEXT UNIQUE,
    UNIQUE (region, name)
);
CREATE TABLE key_pairs (
    seq {serial},
    id TEXT NOT NULL UNIQUE,
    region TEXT NOT NULL,
    name {name} NOT NULL,
    created_ms BIGINT NOT NULL,
    fingerprint TEXT NOT NULL,
    public_key TEXT NOT NULL,
    UNIQUE (region, name)
);
