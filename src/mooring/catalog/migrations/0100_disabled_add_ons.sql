-- A disabled add-on is shown on, with its time of day. Nothing is due of it.
ALTER TABLE auto_runs ADD COLUMN enabled BOOLEAN NOT NULL DEFAULT TRUE;
