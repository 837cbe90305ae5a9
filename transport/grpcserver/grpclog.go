package grpcserver

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/grpc/grpclog"
)

// RedirectLog sends to logger, nil for slog.Default(), what the gRPC library itself has to say, of all servers and
// clients of the process, as lines of the logger named "grpc" (attribute "logger"). Its warnings and errors keep their
// levels. Its info, which tells of every connection, is at debug; its verbose info is written by a logger that is
// enabled below debug. What it calls fatal is an error, after which it ends the process.
//
// The library keeps one logger for the process and does not guard it: call this once, in main, before there is a server
// or a client. Without it the library writes its errors to standard error.
func RedirectLog(logger *slog.Logger) {
	if logger == nil {
		logger = slog.Default()
	}
	grpclog.SetLoggerV2(libraryLog{logger.With("logger", "grpc").Handler()})
}

// libraryLog is a grpclog.LoggerV2.
type libraryLog struct{ handler slog.Handler }

var _ grpclog.LoggerV2 = libraryLog{}

func (l libraryLog) print(level slog.Level, args []any) {
	l.log(level, func() string { return fmt.Sprint(args...) })
}

func (l libraryLog) println(level slog.Level, args []any) {
	l.log(level, func() string { return strings.TrimSuffix(fmt.Sprintln(args...), "\n") })
}

func (l libraryLog) printf(level slog.Level, format string, args []any) {
	l.log(level, func() string { return fmt.Sprintf(format, args...) })
}

// log puts the message together where it is written. It has no place in the code: the library wraps its own calls.
func (l libraryLog) log(level slog.Level, message func() string) {
	ctx := context.Background()
	if l.handler.Enabled(ctx, level) {
		_ = l.handler.Handle(ctx, slog.NewRecord(time.Now(), level, message(), 0)) // there is nowhere to say it
	}
}

// These are what the library calls.

func (l libraryLog) Info(args ...any)                 { l.print(slog.LevelDebug, args) }
func (l libraryLog) Infoln(args ...any)               { l.println(slog.LevelDebug, args) }
func (l libraryLog) Infof(format string, args ...any) { l.printf(slog.LevelDebug, format, args) }

func (l libraryLog) Warning(args ...any)                 { l.print(slog.LevelWarn, args) }
func (l libraryLog) Warningln(args ...any)               { l.println(slog.LevelWarn, args) }
func (l libraryLog) Warningf(format string, args ...any) { l.printf(slog.LevelWarn, format, args) }

func (l libraryLog) Error(args ...any)                 { l.print(slog.LevelError, args) }
func (l libraryLog) Errorln(args ...any)               { l.println(slog.LevelError, args) }
func (l libraryLog) Errorf(format string, args ...any) { l.printf(slog.LevelError, format, args) }

func (l libraryLog) Fatal(args ...any)                 { l.print(slog.LevelError, args) }
func (l libraryLog) Fatalln(args ...any)               { l.println(slog.LevelError, args) }
func (l libraryLog) Fatalf(format string, args ...any) { l.printf(slog.LevelError, format, args) }

// V reports whether info of a verbosity is wanted: that of zero is at debug, higher ones are as far below.
func (l libraryLog) V(verbosity int) bool {
	return l.handler.Enabled(context.Background(), slog.LevelDebug-slog.Level(verbosity))
}
