-- What a disk descends from besides its origin: ids of disks and snapshots, as JSON, nearest first.
ALTER TABLE disks ADD COLUMN ancestors TEXT;
