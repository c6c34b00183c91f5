-- What requests changed, entered with what they changed, in catalogs that several servers use.
CREATE TABLE audit_lines (
    seq {serial},
    request_id TEXT NOT NULL,
    time_ms BIGINT NOT NULL,
    server TEXT NOT NULL,
    line TEXT NOT NULL
);
CREATE INDEX audit_lines_by_time ON audit_lines (time_ms);
CREATE INDEX audit_lines_by_request ON audit_lines (request_id);
