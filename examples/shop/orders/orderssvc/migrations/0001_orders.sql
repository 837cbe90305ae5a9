CREATE TABLE orders (
	id              TEXT PRIMARY KEY,
	idempotency_key TEXT NOT NULL UNIQUE,
	customer_id     TEXT NOT NULL,
	sku             TEXT NOT NULL,
	quantity        INTEGER NOT NULL,
	amount_cents    BIGINT NOT NULL,
	status          TEXT NOT NULL,
	created_at      TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);
