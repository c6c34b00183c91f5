-- The ids of snapshots that the last verification of a vault found damaged, as JSON: it is known until
-- all of each is read again. Null where an older program entered it.
ALTER TABLE vault_runs ADD COLUMN damaged TEXT;
