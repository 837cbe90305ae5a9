// Package sqlxtest gives a test a database of its own: [SQLite] in the test's temporary folder, [Postgres] in a
// private server that the first such test of the process starts, [Each] both, one subtest each.
//
// The server is started from the binaries on the machine (PATH, or where Debian and Red Hat put them), in a temporary
// folder, on a Unix socket only, as a user that is not root. It goes away with the test process, however that ends.
// Where there are no binaries the test is skipped by name; in CI (the environment has CI set) it fails. With a
// postgres:// URL in MAINSTAY_TEST_POSTGRES that server is used instead, by a role that may create databases.
//
// It is a module of its own, so that the kit's own go.mod lists no database driver; its tests are those of
// package sqlx and of the packages below it.
package sqlxtest
