package logging_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"regexp"

	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/tracing/logging"
)

func ExampleNew() {
	var out bytes.Buffer // os.Stderr, in a service
	level := new(slog.LevelVar)
	log := logging.New(&out, &logging.Options{Format: logging.Text, Level: level})

	ctx := correlation.NewContext(context.Background(), "checkout-42")
	log.WithGroup("payment").InfoContext(ctx, "paid", "amount", 5, "card_token", "tok_1")
	log.DebugContext(ctx, "not written")
	level.Set(slog.LevelDebug)
	log.DebugContext(ctx, "written")

	fmt.Print(regexp.MustCompile(`time=\S+ `).ReplaceAllString(out.String(), ""))
	// Output:
	// level=INFO msg=paid correlation_id=checkout-42 payment.amount=5 payment.card_token=[REDACTED]
	// level=DEBUG msg=written correlation_id=checkout-42
}

func ExampleLevels() {
	var out bytes.Buffer
	var levels logging.Levels // the admin port, or a reloaded configuration, sets them
	log := logging.New(&out, &logging.Options{Format: logging.Text, Levels: &levels})
	outbox := log.With("logger", "outbox")

	outbox.Debug("not written")
	levels.Set("outbox", slog.LevelDebug)
	outbox.Debug("written")
	log.Debug("not written")

	fmt.Print(regexp.MustCompile(`time=\S+ `).ReplaceAllString(out.String(), ""))
	// Output:
	// level=DEBUG msg=written logger=outbox
}

func ExampleSecret() {
	type config struct {
		Host     string
		Password logging.Secret[string]
	}
	c := config{"db", logging.NewSecret("hunter2")}
	fmt.Printf("%+v\n", c)
	fmt.Println(len(c.Password.Reveal()))
	// Output:
	// {Host:db Password:[REDACTED]}
	// 7
}
