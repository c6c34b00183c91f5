-- The name of the server on whose host an export's file or directory is. Empty where there is one.
ALTER TABLE export_records ADD COLUMN server TEXT NOT NULL DEFAULT '';
