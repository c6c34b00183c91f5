-- What clients set on instances and read back, as JSON.
ALTER TABLE instances ADD COLUMN metadata_options TEXT;
ALTER TABLE instances ADD COLUMN ports TEXT;
ALTER TABLE disks ADD COLUMN auto_mounting BOOLEAN;
