package main

import "testing"

func TestRun(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want int
	}{
		"BrokerThatIsNoURL":          {[]string{"-broker", "localhost:4222"}, 1},
		"BrokerThatIsNoURLOfTheDemo": {[]string{"-demo", "-broker", "localhost:4222"}, 1},
		"CollectorThatIsNoURL":       {[]string{"-otlp", "localhost:4317"}, 1},
		"CollectorOfTheDemo":         {[]string{"-demo", "-otlp", "grpc://localhost:4317"}, 2},
		"OneFileForAll":              {[]string{"-db", "sqlite:shop.db"}, 1},
		"OneFileForAllOfTheDemo":     {[]string{"-demo", "-db", "sqlite:shop.db"}, 1},
		"NoSuchService":              {[]string{"ordres", "-http", "127.0.0.1:0"}, 2},
		"SurplusArgument":            {[]string{"-orders", "100", "demo"}, 2},
		"SurplusArgumentOfAService":  {[]string{"users", "alice"}, 2},
		"Help":                       {[]string{"-help"}, 0},
		"NoSuchFlag":                 {[]string{"-nonsense"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(c.args); got != c.want {
				t.Errorf("run(%q) = %d, want %d", c.args, got, c.want)
			}
		})
	}
}
