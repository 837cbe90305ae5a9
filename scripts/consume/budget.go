package main

// consumed is a package that a stranger gets, and what it may cost.
type consumed struct {
	path    string // from the root of the repository
	modules int    // that go.mod may list, mainstay's own included
	program string
}

// budget holds the packages that people begin with. DESIGN.md has the same table: raise a number there and here
// together, and say what the new module is for.
var budget = []consumed{
	{"tracing/correlation", 2, `package main

import (
	"context"
	"fmt"

	"github.com/mainstay-go/mainstay/tracing/correlation"
)

func main() {
	ctx, id := correlation.Ensure(context.Background())
	fmt.Println(id == correlation.FromContext(ctx))
}
`},
	{"metrics", 13, `package main

import (
	"context"
	"log"
	"time"

	"github.com/mainstay-go/mainstay/metrics"
)

func main() {
	red, err := metrics.NewRED(nil, metrics.REDOptions{Name: "job_duration_seconds", Help: "Jobs.", Labels: []string{"job"}})
	if err != nil {
		log.Fatal(err)
	}
	red.Observe(context.Background(), time.Second, "sweep")
}
`},
	{"tracing/otlp", 25, `package main

import (
	"context"
	"log"

	"github.com/mainstay-go/mainstay/tracing"
	"github.com/mainstay-go/mainstay/tracing/otlp"
)

func main() {
	ctx := context.Background()
	exporter, err := otlp.NewGRPC(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	tp, err := tracing.Setup(ctx, &tracing.Options{ServiceName: "greeter", Exporter: exporter})
	if err != nil {
		log.Fatal(err)
	}
	log.Println(tp.Shutdown(ctx))
}
`},
	{"transport/httpserver", 19, `package main

import (
	"context"
	"log"
	"net/http"

	"github.com/mainstay-go/mainstay/transport/httpserver"
)

func main() {
	server := httpserver.New(http.NotFoundHandler(), &httpserver.Options{Unauthenticated: true})
	log.Fatal(server.Run(context.Background()))
}
`},
	{"resilience", 3, `package main

import (
	"context"
	"log"

	"github.com/mainstay-go/mainstay/resilience"
)

func main() {
	payments := resilience.New("payments", nil)
	answer, err := resilience.Do(context.Background(), payments, func(context.Context) (int, error) { return 42, nil })
	log.Println(answer, err)
}
`},
	{"pubsub/natspubsub", 27, `package main

import (
	"context"
	"log"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func main() {
	connection, err := nats.Connect(nats.DefaultURL)
	if err != nil {
		log.Fatal(err)
	}
	js, err := jetstream.New(connection)
	if err != nil {
		log.Fatal(err)
	}
	client := pubsub.NewClient(natspubsub.New(js, nil), nil)
	log.Println(pubsub.NewTopic[string]("greeted", nil).Publish(context.Background(), client, "hello"))
}
`},
	{"pubsub/kafkapubsub", 27, `package main

import (
	"context"
	"log"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/kafkapubsub"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	kafka, err := kgo.NewClient(kgo.SeedBrokers("localhost:9092"))
	if err != nil {
		log.Fatal(err)
	}
	client := pubsub.NewClient(kafkapubsub.New(kafka, nil), nil)
	log.Println(pubsub.NewTopic[string]("greeted", nil).Publish(context.Background(), client, "hello"))
}
`},
	{"pubsub/sqspubsub", 28, `package main

import (
	"context"
	"log"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/sqspubsub"
)

func main() {
	config := aws.Config{Region: "eu-central-1"}
	broker := sqspubsub.New(sqs.NewFromConfig(config), sns.NewFromConfig(config), nil)
	client := pubsub.NewClient(broker, nil)
	log.Println(pubsub.NewTopic[string]("greeted", nil).Publish(context.Background(), client, "hello"))
}
`},
	{"sqlx/outbox", 21, `package main

import (
	"context"
	"database/sql"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
)

var greeted = pubsub.NewTopic[string]("greeted", nil)

func greet(ctx context.Context, db *sql.DB) error {
	box := outbox.New(db, sqlx.Postgres, nil)
	return sqlx.InTx(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
		return greeted.Publish(ctx, box.In(tx), "hello")
	}, nil)
}

func main() {
	_ = greet
}
`},
}
