package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// pattern is a parsed "METHOD /path".
type pattern struct {
	text     string
	method   string
	route    string // the path as declared: the route label
	segments []segment
}

// segment is one part of the path: a literal with its slashes, or a wildcard.
type segment struct {
	literal string
	name    string
	multi   bool // {name...}: the rest of the path
}

func parsePattern(s string) (p pattern, err error) {
	method, path, ok := strings.Cut(s, " ")
	path = strings.TrimLeft(path, " \t")
	if !ok || !strings.HasPrefix(path, "/") {
		return p, errors.New(`want a method and a path, such as "GET /users/{id}"`)
	}
	if err := checkWithServeMux(s); err != nil {
		return p, err
	}
	p = pattern{text: s, method: method, route: path}
	rest := strings.TrimSuffix(path, "{$}")
	for rest != "" {
		open := strings.IndexByte(rest, '{')
		if open < 0 {
			p.segments = append(p.segments, segment{literal: rest})
			break
		}
		end := open + strings.IndexByte(rest[open:], '}')
		name, multi := strings.CutSuffix(rest[open+1:end], "...")
		p.segments = append(p.segments, segment{literal: rest[:open]}, segment{name: name, multi: multi})
		rest = rest[end+1:]
	}
	return p, nil
}

// checkWithServeMux asks the one that will route by the pattern.
func checkWithServeMux(pattern string) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%v", v)
		}
	}()
	http.NewServeMux().Handle(pattern, http.NotFoundHandler())
	return nil
}

// names returns the wildcards' names.
func (p pattern) names() []string {
	var names []string
	for _, s := range p.segments {
		if s.name != "" {
			names = append(names, s.name)
		}
	}
	return names
}

// path returns the escaped path with value(name) in place of each wildcard. It fails on a value that would make
// another path of it: an empty one, "." and "..", which servers and proxies normalise away, and "/", whose escaped
// form http.ServeMux takes for a trailing slash.
func (p pattern) path(value func(name string) string) (string, error) {
	var b strings.Builder
	for _, s := range p.segments {
		if s.name == "" {
			b.WriteString(s.literal)
			continue
		}
		v := value(s.name)
		if s.multi {
			if err := checkRest(v); err != nil {
				return "", fmt.Errorf("path parameter %q: %w", s.name, err)
			}
			b.WriteString(escapeRest(v))
			continue
		}
		if v == "" || v == "." || v == ".." || v == "/" {
			return "", fmt.Errorf("path parameter %q: must not be %q", s.name, v)
		}
		b.WriteString(url.PathEscape(v))
	}
	return b.String(), nil
}

// checkRest refuses what servers and proxies normalise away.
func checkRest(v string) error {
	parts := strings.Split(v, "/")
	for i, part := range parts {
		if part == "." || part == ".." || part == "" && i < len(parts)-1 {
			return fmt.Errorf("must not hold the segment %q", part)
		}
	}
	return nil
}

func escapeRest(v string) string {
	parts := strings.Split(v, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}
