-- The read model's first shape. Everything here is derived from the journal and bounded (see retention.py).
-- `body` is a value in the domain's canonical JSON; the columns beside it are what lists are chosen and ordered by.
-- Times are integers of ns UTC, `at_ns` is what orders a list and never changes for an item.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The newest configuration, policy set and control loop.
CREATE TABLE documents (
    name TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE objects (
    id TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE relations (
    subject_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    object_id TEXT NOT NULL,
    PRIMARY KEY (subject_id, kind, object_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX relations_by_object ON relations (object_id);

-- Only the aliases that hold at present.
CREATE TABLE aliases (
    source TEXT NOT NULL,
    native_id TEXT NOT NULL,
    object_id TEXT NOT NULL,
    valid_from_ns INTEGER NOT NULL,
    PRIMARY KEY (source, native_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX aliases_by_object ON aliases (object_id);

-- A track is one KPI (what = 'kpi') or one objective (what = 'objective') of one object.
CREATE TABLE tracks (
    id INTEGER PRIMARY KEY,
    what TEXT NOT NULL,
    object_id TEXT NOT NULL,
    name TEXT NOT NULL,
    kpi TEXT NOT NULL,
    unit TEXT NOT NULL,
    UNIQUE (what, object_id, name)
) STRICT;

CREATE TABLE kpis (
    seq INTEGER PRIMARY KEY,
    track INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    window_ns INTEGER NOT NULL,
    value REAL,
    samples INTEGER NOT NULL,
    suspect INTEGER NOT NULL,
    id TEXT NOT NULL,
    parent_id TEXT,
    UNIQUE (track, end_ns)
) STRICT;

CREATE TABLE assessments (
    seq INTEGER PRIMARY KEY,
    track INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    observed TEXT NOT NULL,
    since_ns INTEGER NOT NULL,
    value REAL,
    bound REAL NOT NULL,
    compliance TEXT NOT NULL,
    budget_left_ratio REAL,
    predicted TEXT,
    suspect INTEGER NOT NULL,
    id TEXT NOT NULL,
    parent_id TEXT,
    UNIQUE (track, end_ns)
) STRICT;

CREATE TABLE latest_assessments (
    track INTEGER PRIMARY KEY,
    end_ns INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;

-- Windows of a track's assessments summed up by granularity period: those that end in (start_ns, start_ns + granularity_ns].
CREATE TABLE performance (
    track INTEGER NOT NULL,
    granularity_ns INTEGER NOT NULL,
    start_ns INTEGER NOT NULL,
    windows INTEGER NOT NULL,
    known INTEGER NOT NULL,
    met INTEGER NOT NULL,
    missed INTEGER NOT NULL,
    suspect INTEGER NOT NULL,
    value_sum REAL NOT NULL,
    value_min REAL,
    value_max REAL,
    PRIMARY KEY (track, granularity_ns, start_ns)
) STRICT, WITHOUT ROWID;

CREATE TABLE alarms (
    id TEXT PRIMARY KEY,
    at_ns INTEGER NOT NULL,
    open INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    object_id TEXT NOT NULL,
    objective TEXT NOT NULL,
    state TEXT NOT NULL,
    severity TEXT NOT NULL,
    alarm_type TEXT NOT NULL,
    service_affecting INTEGER NOT NULL,
    reported_ns INTEGER NOT NULL,
    changed_ns INTEGER NOT NULL,
    cleared_ns INTEGER,
    body TEXT NOT NULL
) STRICT;

CREATE INDEX alarms_in_order ON alarms (at_ns, id);

CREATE TABLE incidents (
    id TEXT PRIMARY KEY,
    at_ns INTEGER NOT NULL,
    open INTEGER NOT NULL,
    state TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;

CREATE INDEX incidents_in_order ON incidents (at_ns, id);

CREATE TABLE incident_services (
    incident_id TEXT NOT NULL,
    service_id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    PRIMARY KEY (incident_id, service_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE decisions (
    id TEXT PRIMARY KEY,
    at_ns INTEGER NOT NULL,
    open INTEGER NOT NULL,
    incident_id TEXT NOT NULL,
    policy TEXT NOT NULL,
    outcome TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;

CREATE INDEX decisions_in_order ON decisions (at_ns, id);
CREATE INDEX decisions_by_incident ON decisions (incident_id);

CREATE TABLE actions (
    id TEXT PRIMARY KEY,
    at_ns INTEGER NOT NULL,
    open INTEGER NOT NULL,
    incident_id TEXT NOT NULL,
    decision_id TEXT NOT NULL,
    target_id TEXT NOT NULL,
    state TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;

CREATE INDEX actions_in_order ON actions (at_ns, id);
CREATE INDEX actions_by_incident ON actions (incident_id);

CREATE TABLE verifications (
    id TEXT PRIMARY KEY,
    at_ns INTEGER NOT NULL,
    open INTEGER NOT NULL,
    incident_id TEXT NOT NULL,
    action_id TEXT NOT NULL,
    verdict TEXT,
    body TEXT NOT NULL
) STRICT;

CREATE INDEX verifications_in_order ON verifications (at_ns, id);
CREATE INDEX verifications_by_incident ON verifications (incident_id);

CREATE TABLE notices (
    id TEXT PRIMARY KEY,
    at_ns INTEGER NOT NULL,
    open INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;

CREATE INDEX notices_in_order ON notices (at_ns, id);

CREATE TABLE commands (
    id TEXT PRIMARY KEY,
    at_ns INTEGER NOT NULL,
    open INTEGER NOT NULL,
    subject_id TEXT NOT NULL,
    body TEXT NOT NULL,
    result TEXT
) STRICT;

CREATE INDEX commands_in_order ON commands (at_ns, id);

-- What the event stream sends; `seq` is the number it was taken in under and the event's id.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

-- The walk of `trimtab explain`. `kept` marks what led to something that people may ask about.
CREATE TABLE nodes (
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    at_ns INTEGER NOT NULL,
    parent_id TEXT,
    text TEXT NOT NULL,
    kept INTEGER NOT NULL
) STRICT;

CREATE INDEX nodes_by_age ON nodes (kept, seq);

CREATE TABLE edges (
    child TEXT NOT NULL,
    parent TEXT NOT NULL,
    PRIMARY KEY (child, parent)
) STRICT, WITHOUT ROWID;

CREATE INDEX edges_by_parent ON edges (parent);
