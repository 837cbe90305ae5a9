package main

import "testing"

func TestRun(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want int
	}{
		"BrokerThatIsNoURL":          {[]string{"-broker", "localhost:4222"}, 1},
		"BrokerThatIsNoURLOfTheDemo": {[]string{"-demo", "-broker", "localhost:4222"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(c.args); got != c.want {
				t.Errorf("run(%q) = %d, want %d", c.args, got, c.want)
			}
		})
	}
}
