-- Service level reports: one for each period of a service, given out once; `at_ns` is the period's end.
CREATE TABLE sls_reports (
    id TEXT PRIMARY KEY,
    at_ns INTEGER NOT NULL,
    open INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    service_id TEXT NOT NULL,
    length_ns INTEGER NOT NULL,
    start_ns INTEGER NOT NULL,
    reckoned_ns INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX sls_reports_by_service ON sls_reports (service_id, at_ns);
CREATE INDEX sls_reports_by_time ON sls_reports (at_ns, id);
