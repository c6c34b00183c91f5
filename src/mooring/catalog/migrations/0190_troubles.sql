-- What is wrong now, and what was told of it where: docs/design/notifications.md. `server` has the
-- id of the one that alone sees it, empty for what all servers see alike.
CREATE TABLE troubles (
    key TEXT NOT NULL PRIMARY KEY,
    server TEXT NOT NULL,
    kind TEXT NOT NULL,
    region TEXT NOT NULL,
    resource TEXT NOT NULL,
    severity TEXT NOT NULL,
    text TEXT NOT NULL,
    since_ms BIGINT NOT NULL,
    noted_ms BIGINT NOT NULL,
    ended_ms BIGINT
);
CREATE TABLE trouble_tellings (
    key TEXT NOT NULL,
    channel TEXT NOT NULL,
    told_ms BIGINT NOT NULL,
    PRIMARY KEY (key, channel)
);

-- How the last verification of each vault, and the last copying, ended.
CREATE TABLE vault_runs (
    region TEXT NOT NULL,
    kind TEXT NOT NULL,
    ended_ms BIGINT NOT NULL,
    problems BIGINT NOT NULL,
    PRIMARY KEY (region, kind)
);

-- How full file systems were: from that follows when they will be full.
CREATE TABLE room_samples (
    server TEXT NOT NULL,
    used_for TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    free_bytes BIGINT NOT NULL,
    PRIMARY KEY (server, used_for, at_ms)
);

-- Which of several servers does what one alone is to do.
CREATE TABLE leads (
    task TEXT NOT NULL PRIMARY KEY,
    server TEXT NOT NULL,
    until_ms BIGINT NOT NULL
);
