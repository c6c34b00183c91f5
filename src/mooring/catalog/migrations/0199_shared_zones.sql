-- In which of its zones a host has the disks where others of the zone reach them, too.
ALTER TABLE hosts ADD COLUMN shared_zones TEXT NOT NULL DEFAULT '[]';
