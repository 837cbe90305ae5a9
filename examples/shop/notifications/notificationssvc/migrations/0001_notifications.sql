-- Nothing here is unique to an order, on purpose: that there is one row an order is the inbox's doing alone.
CREATE TABLE notifications (
	order_id   TEXT NOT NULL,
	email      TEXT NOT NULL,
	text       TEXT NOT NULL,
	created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX notifications_order_id ON notifications (order_id);
