CREATE TABLE users (
	id    TEXT PRIMARY KEY,
	name  TEXT NOT NULL,
	email TEXT NOT NULL
);

INSERT INTO users (id, name, email) VALUES
	('alice',   'Alice',   'alice@example.com'),
	('bob',     'Bob',     'bob@example.com'),
	('carol',   'Carol',   'carol@example.com'),
	('dave',    'Dave',    'dave@example.com'),
	('mallory', 'Mallory', 'mallory@example.com');
