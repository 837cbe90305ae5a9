-- Messages that are to leave once the transaction that wrote them has committed. Package outbox describes them.
CREATE TABLE mainstay_outbox (
    seq         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order of insertion; never used again
    topic       TEXT   NOT NULL,
    message_id  TEXT   NOT NULL,
    message_key TEXT   NOT NULL, -- '' for none
    envelope    TEXT   NOT NULL, -- the other attributes, as JSON
    data        BYTEA  NOT NULL,
    created_ms  BIGINT NOT NULL DEFAULT (CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)),
    parked_ms   BIGINT, -- when it was set aside, NULL for a message that is to be sent
    error       TEXT    -- why it was set aside
);

-- Who relays, and until when.
CREATE TABLE mainstay_outbox_lease (
    id         INT    PRIMARY KEY CHECK (id = 1),
    holder     TEXT   NOT NULL,
    expires_ms BIGINT NOT NULL
);

INSERT INTO mainstay_outbox_lease (id, holder, expires_ms) VALUES (1, '', 0);
