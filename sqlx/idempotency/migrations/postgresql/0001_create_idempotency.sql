-- One row an idempotency key, of one caller and one route. The key of the table is a hash, so that it may be partitioned
-- by it: PARTITION BY HASH (id).
CREATE TABLE mainstay_idempotency (
    id              BYTEA PRIMARY KEY, -- SHA-256 of caller, route and key
    fingerprint     BYTEA NOT NULL,    -- SHA-256 of the request
    route           TEXT NOT NULL,     -- this and the key are for people
    idempotency_key TEXT NOT NULL,
    holder          TEXT NOT NULL,     -- who works on it, or did
    lease_ms        BIGINT NOT NULL,   -- until when nobody else may
    expires_ms      BIGINT NOT NULL,
    status          INTEGER,           -- NULL while it is worked on, 0 where the answer was too large to keep
    header          BYTEA,
    body            BYTEA
);

-- For the cleaner. It has no name of its own, so that the table's may carry a schema.
CREATE INDEX ON mainstay_idempotency (expires_ms);
