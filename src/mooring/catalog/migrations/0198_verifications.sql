-- When the last verification of a vault began, and how much of the data it read back, in per cent.
-- Null where an older program entered it.
ALTER TABLE vault_runs ADD COLUMN begun_ms BIGINT;
ALTER TABLE vault_runs ADD COLUMN percent DOUBLE PRECISION;
