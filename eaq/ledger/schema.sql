-- The ledger, schema 1. Run inside the BEGIN IMMEDIATE that found the file empty; PRAGMA application_id and
-- user_version are set beside it (ledger_open.cc). docs/formats/ledger.md explains every table.
--
-- All tables but `claim` are append-only sets whose keys are hashes of content, so a merge is INSERT OR IGNORE.
-- Integer ids (provenance, result, documents) are local to the file; a merge translates them.

CREATE TABLE sweep (
  id TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 64),
  started_ns INTEGER NOT NULL,
  name TEXT NOT NULL,
  spec_text TEXT NOT NULL,
  command TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The trials a sweep expanded to, in its order. They may not have been tried yet: no foreign key to `trial`.
CREATE TABLE sweep_trial (
  sweep TEXT NOT NULL REFERENCES sweep (id),
  position INTEGER NOT NULL CHECK (position >= 0),
  trial TEXT NOT NULL CHECK (length(trial) = 64),
  PRIMARY KEY (sweep, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE trial (
  key TEXT NOT NULL PRIMARY KEY CHECK (length(key) = 64),
  spec BLOB NOT NULL,       -- the canonical TrialSpec, serialized: what was hashed
  spec_text TEXT NOT NULL,  -- the canonical TrialSpec as textproto
  numerics_version INTEGER NOT NULL,
  seed INTEGER              -- of calibration; NULL without calibration
) STRICT;

-- Labels a trial has been run under. Not part of its identity, so there may be several; the first one shows.
-- The columns stand in the key's order: SQLite 3.40 reports NULLs in a table like this otherwise (integrity_check).
CREATE TABLE label (
  trial TEXT NOT NULL REFERENCES trial (key),
  model TEXT NOT NULL,
  recipe TEXT NOT NULL,
  title TEXT NOT NULL,
  scheme TEXT NOT NULL,
  first_ns INTEGER NOT NULL,
  spec BLOB NOT NULL,  -- the TrialSpec as asked for, labels included
  PRIMARY KEY (trial, model, recipe, title, scheme, first_ns, spec)
) STRICT, WITHOUT ROWID;

CREATE TABLE provenance (
  id INTEGER PRIMARY KEY,
  hash TEXT NOT NULL UNIQUE CHECK (length(hash) = 64),
  git_commit TEXT NOT NULL,
  dirty TEXT NOT NULL CHECK (dirty IN ('clean', 'dirty', 'unknown')),
  binary_hash TEXT NOT NULL,
  host TEXT NOT NULL,
  boot_id TEXT NOT NULL,
  cpu TEXT NOT NULL,
  cores INTEGER NOT NULL,
  kernel TEXT NOT NULL,
  compiler TEXT NOT NULL,
  model_hash TEXT NOT NULL,
  corpora TEXT NOT NULL  -- {"name": "package version sha256"}
) STRICT;

-- What came out, without timings. More than one row for a trial is a conflict: a finding, never overwritten.
CREATE TABLE result (
  id INTEGER PRIMARY KEY,
  trial TEXT NOT NULL REFERENCES trial (key),
  digest TEXT NOT NULL CHECK (length(digest) = 64),
  content BLOB NOT NULL,  -- TrialResult without timings, serialized: what was hashed
  UNIQUE (trial, digest)
) STRICT;

CREATE TABLE attempt (
  id TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 64),
  trial TEXT NOT NULL REFERENCES trial (key),
  sweep TEXT NOT NULL,  -- id, or ''
  started_ns INTEGER NOT NULL,
  finished_ns INTEGER NOT NULL,
  duration_ns INTEGER NOT NULL CHECK (duration_ns >= 0),
  outcome TEXT NOT NULL CHECK (outcome IN ('ok', 'failed', 'oom', 'timeout', 'lost', 'interrupted')),
  exit_code INTEGER NOT NULL,
  message TEXT NOT NULL,
  command TEXT NOT NULL,
  log TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  provenance INTEGER REFERENCES provenance (id),  -- NULL for an attempt found dead by another process
  result INTEGER REFERENCES result (id),
  wall_seconds REAL,
  peak_memory_bytes INTEGER,
  threads INTEGER,
  CHECK ((outcome = 'ok') = (result IS NOT NULL))
) STRICT;
CREATE INDEX attempt_trial ON attempt (trial, started_ns);

CREATE TABLE stage_run (
  attempt TEXT NOT NULL REFERENCES attempt (id),
  position INTEGER NOT NULL,
  stage TEXT NOT NULL,
  hash TEXT NOT NULL,
  seconds REAL NOT NULL,
  from_cache INTEGER NOT NULL CHECK (from_cache IN (0, 1)),
  PRIMARY KEY (attempt, position)
) STRICT, WITHOUT ROWID;

-- Empty domain and layer -1: of the whole. SQLite would store a NaN as NULL, hence `kind`.
CREATE TABLE metric (
  result INTEGER NOT NULL REFERENCES result (id),
  name TEXT NOT NULL,
  domain TEXT NOT NULL,
  layer INTEGER NOT NULL,
  position INTEGER NOT NULL,  -- 0, or 1, 2, ... where a result repeats (name, domain, layer)
  value REAL,
  kind TEXT NOT NULL CHECK (kind IN ('finite', 'nan', '+inf', '-inf', 'missing')),
  PRIMARY KEY (result, name, domain, layer, position),
  CHECK ((kind = 'finite') = (value IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE documents (
  id INTEGER PRIMARY KEY,
  hash TEXT NOT NULL UNIQUE CHECK (length(hash) = 64),
  names TEXT NOT NULL  -- the document of each window, as a JSON array of strings
) STRICT;

-- One value per evaluation window, as little-endian float64.
CREATE TABLE series (
  result INTEGER NOT NULL REFERENCES result (id),
  position INTEGER NOT NULL,
  metric TEXT NOT NULL,
  domain TEXT NOT NULL,
  count INTEGER NOT NULL CHECK (count >= 0),
  value BLOB NOT NULL CHECK (length(value) = 8 * count),
  documents INTEGER NOT NULL REFERENCES documents (id),
  PRIMARY KEY (result, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE linear (
  result INTEGER NOT NULL REFERENCES result (id),
  position INTEGER NOT NULL,
  linear TEXT NOT NULL,
  bits INTEGER NOT NULL,
  calibration_tokens INTEGER NOT NULL,
  weight_error REAL,  -- NULL: absent or not finite (the content BLOB has it exactly)
  output_error REAL,
  stored_bits INTEGER NOT NULL,
  note TEXT NOT NULL,
  PRIMARY KEY (result, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE expert_use (
  result INTEGER NOT NULL REFERENCES result (id),
  position INTEGER NOT NULL,
  domain TEXT NOT NULL,
  layer INTEGER NOT NULL,
  share BLOB NOT NULL CHECK (length(share) % 8 = 0),  -- little-endian float64 per expert
  PRIMARY KEY (result, position)
) STRICT, WITHOUT ROWID;

-- Who works on what at the moment: the only table whose rows change. Never merged.
CREATE TABLE claim (
  trial TEXT NOT NULL PRIMARY KEY CHECK (length(trial) = 64),
  worker TEXT NOT NULL,
  host TEXT NOT NULL,
  boot_id TEXT NOT NULL,
  pid INTEGER NOT NULL,
  pid_start INTEGER NOT NULL,
  claimed_ns INTEGER NOT NULL,
  heartbeat_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Keys with more than one result.
CREATE VIEW conflict AS
  SELECT trial, digest FROM result WHERE trial IN (SELECT trial FROM result GROUP BY trial HAVING count(*) > 1);

-- The result that counts: that of the earliest ok attempt. The same whatever the order of recording and merging.
CREATE VIEW current_result AS
  SELECT trial, result, attempt FROM (
    SELECT trial, result, id AS attempt,
           row_number() OVER (PARTITION BY trial ORDER BY started_ns, id) AS n
    FROM attempt WHERE outcome = 'ok') WHERE n = 1;

CREATE VIEW current_label AS
  SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY trial ORDER BY first_ns, model, recipe, title, scheme, spec) AS n
    FROM label) WHERE n = 1;

-- Where a trial stands: ok once any attempt was ok, else as its last attempt ended.
CREATE VIEW current_status AS
  SELECT trial, outcome AS status, id AS attempt FROM (
    SELECT trial, outcome, id,
           row_number() OVER (PARTITION BY trial
                              ORDER BY outcome = 'ok' DESC,
                                       CASE WHEN outcome = 'ok' THEN started_ns ELSE -finished_ns END, id) AS n
    FROM attempt) WHERE n = 1;
