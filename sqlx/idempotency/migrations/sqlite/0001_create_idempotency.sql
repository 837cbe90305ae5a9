-- One row an idempotency key, of one caller and one route. Without a rowid the key is the table, and stored once.
CREATE TABLE mainstay_idempotency (
    id              BLOB NOT NULL PRIMARY KEY, -- SHA-256 of caller, route and key
    fingerprint     BLOB NOT NULL,             -- SHA-256 of the request
    route           TEXT NOT NULL,             -- this and the key are for people
    idempotency_key TEXT NOT NULL,
    holder          TEXT NOT NULL,             -- who works on it, or did
    lease_ms        INTEGER NOT NULL,          -- until when nobody else may
    expires_ms      INTEGER NOT NULL,
    status          INTEGER,                   -- NULL while it is worked on, 0 where the answer was too large to keep
    header          BLOB,
    body            BLOB
) WITHOUT ROWID;

-- For the cleaner.
CREATE INDEX mainstay_idempotency_expires ON mainstay_idempotency (expires_ms);
