package logging_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/tracing/logging"
)

// valuer computes itself, as users' types do.
type valuer struct{ slog.Value }

func (v valuer) LogValue() slog.Value { return v.Value }

func TestRedact(t *testing.T) {
	const secret = "hunter2"
	nested := slog.GroupValue(slog.Int("k", 1), slog.Group("deep", slog.String("db_password", secret)))

	for name, log := range map[string]func(*slog.Logger){
		"OfTheRecord":          func(l *slog.Logger) { l.Info("m", "password", secret) },
		"InAnyCase":            func(l *slog.Logger) { l.Info("m", "X-API-Key", secret, "refreshToken", secret) },
		"OfTheLogger":          func(l *slog.Logger) { l.With("authorization", secret).Info("m") },
		"InAnOpenGroup":        func(l *slog.Logger) { l.WithGroup("g").With("cookie", secret).Info("m", "token", secret) },
		"InAGroupThatIsSecret": func(l *slog.Logger) { l.WithGroup("Credentials").With("user", secret).Info("m", "n", secret) },
		"AroundAnother":        func(l *slog.Logger) { l.WithGroup("password").WithGroup("g").Info("m", "value", secret) },
		"InAnother":            func(l *slog.Logger) { l.WithGroup("g").WithGroup("jwt").Info("m", "value", secret) },
		"BeforeOthers":         func(l *slog.Logger) { l.Info("m", "token", secret, "number", 1) },
		"AfterOthers":          func(l *slog.Logger) { l.Info("m", "number", 1, "token", secret) },
		"InAGroup":             func(l *slog.Logger) { l.Info("m", slog.Any("g", nested)) },
		"InGroupOfWith":        func(l *slog.Logger) { l.With(slog.Any("g", nested)).Info("m") },
		"AWholeGroup":          func(l *slog.Logger) { l.Info("m", slog.Group("credentials", "user", secret)) },
		"InAValuer":            func(l *slog.Logger) { l.Info("m", "user", valuer{nested}) },
		"InValuersDeep": func(l *slog.Logger) {
			l.Info("m", slog.Group("g", "user", valuer{slog.AnyValue(valuer{nested})}))
		},
		"OfAnInlineGroup": func(l *slog.Logger) { l.Info("m", slog.Group("", "secret", secret)) },
	} {
		t.Run(name, func(t *testing.T) {
			var buf bytes.Buffer
			log(over(&buf, nil))
			if got := buf.String(); strings.Contains(got, secret) || !strings.Contains(got, "[REDACTED]") {
				t.Errorf("got %s, want the secret redacted", got)
			}
		})
	}

	for name, c := range map[string]struct {
		redact []string
		key    string
		want   bool // whether it is redacted
	}{
		"NotWhatOnlyBeginsSo":  {nil, "token_count", false},
		"NotWhatOnlyEndsAlike": {nil, "broken", false},
		"OnlyTheListWhenGiven": {[]string{"iban"}, "password", false},
		"TheListWhenGiven":     {[]string{"iban"}, "Customer_IBAN", true},
		"MoreThanTheDefault":   {append(logging.DefaultRedact(), "iban"), "password", true},
		"NothingWhenEmpty":     {[]string{}, "password", false},
		"NotAllForAnEmptyKey":  {[]string{""}, "k", false},
		"LettersBeyondASCII":   {[]string{"geheimé"}, "GEHEIMÉ", true},
	} {
		t.Run(name, func(t *testing.T) {
			var buf bytes.Buffer
			over(&buf, &logging.Options{Redact: c.redact}).Info("m", c.key, secret)
			if got := !strings.Contains(buf.String(), secret); got != c.want {
				t.Errorf("%q redacted: got %v, want %v", c.key, got, c.want)
			}
		})
	}

	t.Run("LeavesTheCallersAttributesAlone", func(t *testing.T) {
		attrs := []slog.Attr{slog.String("password", secret)}
		over(&bytes.Buffer{}, nil).Handler().WithAttrs(attrs)
		if got := attrs[0].Value.String(); got != secret {
			t.Errorf("got %q, want it untouched", got)
		}
	})

	t.Run("LeavesTheCallersGroupAlone", func(t *testing.T) {
		over(&bytes.Buffer{}, nil).Info("m", slog.Any("g", nested))
		if got := nested.Group()[1].Value.Group()[0].Value.String(); got != secret {
			t.Errorf("got %q, want it untouched", got)
		}
	})
}

func TestSecret(t *testing.T) {
	const hidden = "hunter2"
	s := logging.NewSecret(hidden)
	type outer struct {
		Exported logging.Secret[string]
		hidden   logging.Secret[string]
		pointer  *logging.Secret[string]
	}
	type page struct{ S logging.Secret[string] }
	o := outer{s, s, &s}

	if got := s.Reveal(); got != hidden {
		t.Errorf("Reveal: got %q, want %q", got, hidden)
	}
	if got := (logging.Secret[int]{}).Reveal(); got != 0 {
		t.Errorf("Reveal of the zero Secret: got %d, want 0", got)
	}

	shown := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown[verb] = fmt.Sprintf(verb, s)
		shown[verb+" of a pointer"] = fmt.Sprintf(verb, &s)
		shown[verb+" of a struct"] = fmt.Sprintf(verb, o)
		shown[verb+" of a map"] = fmt.Sprintf(verb, map[string]any{"k": s})
	}
	shown["string"] = s.String()
	shown["slog value"] = fmt.Sprint(slog.AnyValue(s).Resolve().Kind(), " ", slog.AnyValue(s).Resolve())
	if want := "String [REDACTED]"; shown["slog value"] != want {
		t.Errorf("slog value: got %s, want %s", shown["slog value"], want)
	}
	j, err := json.Marshal(o)
	shown["JSON"] = string(j)
	if err != nil {
		t.Error(err)
	}
	x, err := xml.Marshal(page{s})
	shown["XML"] = string(x)
	if err != nil {
		t.Error(err)
	}
	for name, format := range map[string]logging.Format{"JSON log": logging.JSON, "text log": logging.Text} {
		var buf bytes.Buffer
		logging.New(&buf, &logging.Options{Format: format}).Info("m", "k", s, "o", o, "p", &s)
		shown[name] = buf.String()
	}
	for name, got := range shown {
		if strings.Contains(got, hidden) || strings.Contains(got, fmt.Sprintf("%x", hidden)) {
			t.Errorf("%s: got %s, want it hidden", name, got)
		}
		if !strings.Contains(name, "struct") && !strings.Contains(got, "[REDACTED]") {
			t.Errorf("%s: got %s, want [REDACTED]", name, got)
		}
	}
}

// FuzzRedact compares with the rule as it is told: a key is redacted when it ends with one of the list, in any case.
func FuzzRedact(f *testing.F) {
	for _, ending := range append(logging.DefaultRedact(), "é", "x", "geheimé") {
		f.Add(ending, ending)
		f.Add("db_"+strings.ToUpper(ending), ending)
		f.Add(ending+"s", ending)
	}
	f.Add("to\u212aen", "token") // the sign for Kelvin is a k, but longer
	f.Add("0\xff", "\xa3")
	f.Fuzz(func(t *testing.T, key, ending string) {
		const secret = "\x01hunter2"
		var buf bytes.Buffer
		l := slog.New(logging.NewHandler(slog.NewTextHandler(&buf, nil), &logging.Options{Redact: []string{ending}}))
		l.Info("m", slog.String(key, secret))
		n := len(key) - len(ending)
		want := ending != "" && n >= 0 && strings.EqualFold(key[n:], ending)
		if got := !strings.Contains(buf.String(), "hunter2"); got != want {
			t.Errorf("key %q, ending %q: redacted %v, want %v", key, ending, got, want)
		}
	})
}
