"""The ledger's tables, and how a ledger of an earlier version becomes one of today."""

from __future__ import annotations

import sqlite3

APPLICATION_ID = 0x43504C31  # "CPL1"
VERSION = 5

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE specs (key TEXT PRIMARY KEY, described TEXT NOT NULL) STRICT;
CREATE TABLE requests (
  id TEXT PRIMARY KEY, spec TEXT NOT NULL, pictures TEXT NOT NULL, take INTEGER NOT NULL,
  provider TEXT NOT NULL, gateway TEXT NOT NULL, model TEXT NOT NULL, address TEXT NOT NULL, label TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('intent', 'accepted', 'made', 'failed', 'refused', 'uncertain')),
  reserved INTEGER NOT NULL, usd INTEGER NOT NULL DEFAULT 0,
  created REAL NOT NULL, settled REAL, error TEXT
) STRICT;
CREATE INDEX requests_open ON requests (state) WHERE state IN ('intent', 'accepted', 'uncertain');
CREATE TABLE receipts (
  request TEXT NOT NULL REFERENCES requests (id), step INTEGER NOT NULL, answer TEXT NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (request, step)
) STRICT;
CREATE TABLE pictures (
  key TEXT NOT NULL, take INTEGER NOT NULL, spec TEXT NOT NULL, variant INTEGER NOT NULL,
  request TEXT NOT NULL REFERENCES requests (id), original TEXT NOT NULL, sha256 TEXT NOT NULL,
  bytes INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
  seed INTEGER, usd INTEGER NOT NULL, seconds REAL NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (key, take)
) STRICT;
CREATE TABLE wishes (key TEXT PRIMARY KEY, take INTEGER NOT NULL) STRICT;
CREATE TABLE failures (
  key TEXT PRIMARY KEY, reason TEXT NOT NULL, permanent INTEGER NOT NULL, at REAL NOT NULL
) STRICT;
CREATE TABLE files (
  path TEXT PRIMARY KEY, key TEXT NOT NULL, take INTEGER NOT NULL, encoding TEXT NOT NULL,
  sha256 TEXT NOT NULL, bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE cells (label TEXT PRIMARY KEY, key TEXT NOT NULL, spec TEXT NOT NULL) STRICT;
"""
_MIGRATIONS = {
    2: """
ALTER TABLE requests ADD COLUMN images TEXT NOT NULL DEFAULT '[]';
ALTER TABLE requests ADD COLUMN remote TEXT NOT NULL DEFAULT '';
ALTER TABLE pictures ADD COLUMN nsfw INTEGER;
CREATE TABLE uploads (
  provider TEXT NOT NULL, address TEXT NOT NULL, digest TEXT NOT NULL, reference TEXT NOT NULL, until REAL NOT NULL,
  PRIMARY KEY (provider, address, digest)
) STRICT;
""",
    3: """
ALTER TABLE requests ADD COLUMN product TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN product_set TEXT NOT NULL DEFAULT '';
UPDATE requests SET product = substr(label, 1, instr(label || '/', '/') - 1);
CREATE INDEX pictures_request ON pictures (request);
UPDATE requests SET usd = max(usd, (SELECT coalesce(sum(p.usd), 0) FROM pictures p WHERE p.request = requests.id))
  WHERE state NOT IN ('intent', 'accepted', 'uncertain');
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, kept INTEGER NOT NULL DEFAULT 0
) STRICT;
""",
    4: """
CREATE TABLE shown (
  label TEXT NOT NULL, key TEXT NOT NULL, spec TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (label, key)
) STRICT, WITHOUT ROWID;
INSERT INTO shown
  SELECT label, key, spec, coalesce((SELECT max(p.at) FROM pictures p WHERE p.key = cells.key), 0) FROM cells;
""",
    5: """
ALTER TABLE requests ADD COLUMN refusals INTEGER NOT NULL DEFAULT 0;
""",
}
"""Version → what leads there from the one before. A new ledger takes the same way as an old one."""


def create(db: sqlite3.Connection) -> None:
    """Inside a transaction: make all tables."""
    for statement in SCHEMA.split(";\n"):
        db.execute(statement)
    migrate(db, 1)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Inside a transaction: lead a ledger of this version to the newest."""
    for step in range(version + 1, VERSION + 1):
        for statement in _MIGRATIONS[step].split(";\n"):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {VERSION}")
