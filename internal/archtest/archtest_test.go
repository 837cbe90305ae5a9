package archtest

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// TestTree holds this repository to the rules.
func TestTree(t *testing.T) {
	wrong, err := Check(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wrong {
		t.Error(w)
	}
}

// source returns a commented Go file of a package that imports paths; those that begin with "./" are ours.
func source(paths ...string) string {
	var b strings.Builder
	b.WriteString("// Package p is commented.\npackage p\n")
	for _, p := range paths {
		if rest, ours := strings.CutPrefix(p, "./"); ours {
			p = strings.TrimSuffix(module+"/"+rest, "/")
		}
		b.WriteString("import _ \"" + p + "\"\n")
	}
	return b.String()
}

func TestCheck(t *testing.T) {
	type files map[string]string
	for name, c := range map[string]struct {
		files files
		want  string // part of the one line reported; "" for none
	}{
		"ArrowDown": {
			files{"transport/httpserver/a.go": source("./auth", "./metrics", "./transport")},
			"",
		},
		"ArrowUp": {
			files{"auth/jwt/a.go": source("./transport/httpserver")},
			"auth/jwt imports transport/httpserver: points up",
		},
		"ArrowSideways": {
			files{"transport/a.go": source("fmt"), "transport/x/a.go": source("./pubsub")},
			"transport/x imports pubsub: points sideways",
		},
		"ArrowToRoot":   {files{"sqlx/a.go": source("./")}, "sqlx imports mainstay: points sideways"},
		"ArrowFromRoot": {files{"run.go": source("./tracing/correlation", "./pubsub")}, ""},
		"ArrowUpFromRoot": {
			files{"run.go": source("./examples/shop")},
			"mainstay imports examples/shop: points up",
		},
		"ArrowBetweenZeroes": {
			files{"metrics/a.go": source("./internal/backoff")},
			"metrics imports internal/backoff: points sideways",
		},
		"ArrowUpInATest": {files{"metrics/a_test.go": source("./pubsub")}, "metrics imports pubsub: points up"},
		"ArrowToNowhere": {
			files{"pubsub/a.go": source("./util")},
			"pubsub imports util, whose folder is on no floor",
		},
		"ArrowToANameAlike": {files{"pubsub/a.go": source(module + "ed/sqlx")}, ""},
		"ProgramsAreFree": {
			files{"examples/shop/a.go": source("./", "./auth/jwt", "./sqlx", "./pubsub", "os/signal")},
			"",
		},
		"FolderOnNoFloor":    {files{"util/a.go": source()}, "folder util is on no floor"},
		"FolderWithoutGo":    {files{"assets/a.png": "", "docs/a.md": ""}, ""},
		"AuthContract":       {files{"pubsub/a.go": source("./auth")}, ""},
		"AuthBehindContract": {files{"transport/x/a.go": source("./auth/jwt")}, "only package auth, the contract"},
		"AuthInATest": {
			files{"transport/x/a.go": source(), "transport/x/a_test.go": source("./auth/jwt", "./auth/authtest")},
			"",
		},
		"AuthInATestPackage": {files{"transport/httpapitest/a.go": source("./auth/authtest")}, ""},
		"AuthOnItsOwn":       {files{"auth/jwks/a.go": source("./auth/jwt")}, ""},
		"AuthWithin":         {files{"auth/authtest/a.go": source("./auth/jwt")}, ""},
		"OutboxOnPubsub":     {files{"sqlx/outbox/a.go": source("./pubsub")}, ""},
		"SqlxOnPubsub": {
			files{"sqlx/migrate/a.go": source("./pubsub")},
			"sqlx/migrate imports pubsub: in sqlx only sqlx/outbox",
		},
		"IdempotencyOnHTTP": {files{"sqlx/idempotency/a.go": source("./transport")}, ""},
		"OutboxOnTransport": {
			files{"sqlx/outbox/a.go": source("./transport")},
			"sqlx/outbox imports transport: in sqlx only sqlx/idempotency",
		},
		"SqlxTestsOnPubsub": {files{"sqlx/sqlxtest/a_test.go": source("./pubsub/mempubsub")}, ""},
		"NestedOnSeam":      {files{"pubsub/x/go.mod": "", "pubsub/x/a.go": source("./pubsub/driver")}, ""},
		"NestedOnInternal": {
			files{"pubsub/x/go.mod": "", "pubsub/x/a.go": source("./internal/backoff")},
			"a module never imports internal of another",
		},
		"NestedTestOnInternal": {
			files{"pubsub/x/go.mod": "", "pubsub/x/a_test.go": source("./internal/backoff")},
			"a module never imports internal of another",
		},
		"NestedOnHidden": {
			files{"transport/x/go.mod": "", "transport/x/a.go": source("./transport/internal/reqstate")},
			"a module never imports internal of another",
		},
		"NestedInNested": {
			files{"pubsub/x/go.mod": "", "pubsub/x/y/go.mod": "", "pubsub/x/y/a.go": source("./pubsub/x/internal/z")},
			"a module never imports internal of another",
		},
		"NestedOnItsOwn": {
			files{"examples/go.mod": "", "examples/shop/a.go": source("./examples/shop/internal/db")},
			"",
		},
		"RootOnInternal": {files{"pubsub/a.go": source("./internal/backoff"), "pubsub/x/go.mod": ""}, ""},
		"CorrelationOnUUID": {
			files{"tracing/correlation/a.go": source("context", "net/http", "github.com/google/uuid")},
			"",
		},
		"CorrelationOnOthers": {
			files{"tracing/correlation/a.go": source("google.golang.org/grpc")},
			"tracing/correlation imports google.golang.org/grpc: it may import the standard library only",
		},
		"TransportOnOthers": {
			files{"transport/a.go": source("./metrics")},
			"transport imports " + module + "/metrics: it may import the standard library only",
		},
		"TransportTests": {
			files{"transport/a.go": source(), "transport/a_test.go": source("google.golang.org/grpc/codes")},
			"",
		},
		"AuthOnOthers": {
			files{"auth/a.go": source("github.com/golang-jwt/jwt/v5")},
			"auth imports github.com/golang-jwt/jwt/v5: it may",
		},
		"SDKInTracing": {files{"tracing/a.go": source("go.opentelemetry.io/otel/sdk/trace")}, ""},
		"SDKElsewhere": {
			files{"tracing/logging/a.go": source("go.opentelemetry.io/otel/sdk/trace")},
			"only tracing, tracing/otlp may",
		},
		"SDKInATest": {files{"pubsub/a_test.go": source("go.opentelemetry.io/otel/sdk/trace")}, ""},
		"APIElsewhere": {
			files{"pubsub/a.go": source("go.opentelemetry.io/otel/trace", "go.opentelemetry.io/otel")},
			"",
		},
		"SignalsInRoot":    {files{"run.go": source("os/signal")}, ""},
		"SignalsElsewhere": {files{"transport/httpserver/a.go": source("os/signal")}, "only mainstay may"},
		"NoComment":        {files{"pubsub/a.go": "package p\nvar x int\n"}, "pubsub: package has no comment"},
		"NoCommentInATest": {
			files{"pubsub/a.go": "package p\nvar x int\n", "pubsub/a_test.go": "package p\nvar y int\n"},
			"pubsub: package has no comment",
		},
		"CommentInATestAlone": {
			files{"pubsub/a.go": "package p\n", "pubsub/a_test.go": source()},
			"pubsub: package has no comment",
		},
		"CommentOfATestFolder": {files{"pubsub/a_test.go": source()}, ""},
		"CommentOfSomethingElse": {
			files{"pubsub/a.go": "// Nothing to say.\npackage p\n"},
			"pubsub: package has no comment",
		},
		"CommentOfACommand":  {files{"examples/a.go": "// Command a shows it.\npackage main\n"}, ""},
		"CommentInFirstFile": {files{"pubsub/a.go": source(), "pubsub/z.go": "package p\n"}, ""},
		"CommentInOneFile":   {files{"pubsub/a.go": "package p\n", "pubsub/doc.go": source()}, ""},
		"BuildTagNoComment": {
			files{"pubsub/a.go": "//go:build linux\n\npackage p\n\nvar x int\n"},
			"pubsub: package has no comment",
		},
		"HiddenFolders": {
			files{".x/a.go": "package p\n", "pubsub/testdata/a.go": "package p\n", "_x/a.go": "package p"},
			"",
		},
		"InitFunction": {files{"pubsub/a.go": source() + "func init() {}\n"}, "pubsub has an init function"},
		"InitMethod":   {files{"pubsub/a.go": source() + "type T struct{}\nfunc (T) init() {}\n"}, ""},
		"ExportedVariable": {
			files{"pubsub/a.go": source() + "var Default int\n"},
			"pubsub.Default is an exported variable",
		},
		"ExportedError":   {files{"pubsub/a.go": source() + "var ErrX, errY error\n"}, ""},
		"ProgramVariable": {files{"examples/shop/contract/a.go": source() + "var Default int\n"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tree := fstest.MapFS{}
			for name, content := range c.files {
				tree[name] = &fstest.MapFile{Data: []byte(content)}
			}
			wrong, err := Check(tree)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(wrong, "\n")
			if c.want == "" && got != "" || len(wrong) > 1 || !strings.Contains(got, c.want) {
				t.Errorf("reported:\ngot  %q\nwant one line with %q", got, c.want)
			}
		})
	}
	t.Run("SaysWhatDoesNotParse", func(t *testing.T) {
		_, err := Check(fstest.MapFS{"pubsub/a.go": {Data: []byte("packag p")}})
		if err == nil || !strings.Contains(err.Error(), "pubsub/a.go:1:1") {
			t.Errorf("got %v, want an error at pubsub/a.go:1:1", err)
		}
	})
}
