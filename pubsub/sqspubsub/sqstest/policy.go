package sqstest

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
)

// some is a string or a list of them, as policies have it.
type some []string

// UnmarshalJSON implements json.Unmarshaler.
func (s *some) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]string)(s))
	}
	var one string
	err := json.Unmarshal(b, &one)
	*s = some{one}
	return err
}

// accessPolicy is a queue's attribute Policy, as far as it is understood here.
type accessPolicy struct {
	text      string // what it was read from
	Statement []struct {
		Effect    string
		Action    some
		Resource  some
		Condition map[string]map[string]some
	}
}

// lets reports whether the queue's policy lets a topic send to it.
func (q *queue) lets(topicARN string) bool {
	if text := q.attributes["Policy"]; text != q.policy.text {
		q.policy = accessPolicy{text: text}
		if json.Unmarshal([]byte(text), &q.policy) != nil {
			q.policy.Statement = nil
		}
	}
	for _, s := range q.policy.Statement {
		sends := slices.ContainsFunc(s.Action, func(a string) bool {
			a = strings.ToLower(a)
			return a == "*" || a == "sqs:*" || a == "sqs:sendmessage"
		})
		if s.Effect != "Allow" || !sends || !slices.ContainsFunc(s.Resource, like(queueARN(q.name))) {
			continue
		}
		sources := []string{"*"}
		for _, values := range s.Condition {
			for key, v := range values {
				if strings.EqualFold(key, "aws:SourceArn") {
					sources = v
				}
			}
		}
		if slices.ContainsFunc(sources, like(topicARN)) {
			return true
		}
	}
	return false
}

// like returns a match of patterns against s, with '*' for any characters: no ARN here has a '/'.
func like(s string) func(string) bool {
	return func(pattern string) bool {
		ok, err := path.Match(pattern, s)
		return err == nil && ok
	}
}

// filterPolicy is a subscription's, by attribute: one of the conditions of each has to hold.
type filterPolicy map[string][]json.RawMessage

func (p filterPolicy) matches(attributes map[string]attribute) bool {
	for name, conditions := range p {
		var value *string
		if a, ok := attributes[name]; ok {
			value = a.StringValue
		}
		if !slices.ContainsFunc(conditions, func(c json.RawMessage) bool { return holds(c, value) }) {
			return false
		}
	}
	return true
}

// holds reports whether one condition does: a string, or an object with prefix, anything-but or exists.
func holds(condition json.RawMessage, value *string) bool {
	var text string
	if json.Unmarshal(condition, &text) == nil {
		return value != nil && *value == text
	}
	var c struct {
		Prefix *string `json:"prefix"`
		But    some    `json:"anything-but"`
		Exists *bool   `json:"exists"`
	}
	if json.Unmarshal(condition, &c) != nil {
		return false
	}
	switch {
	case c.Exists != nil:
		return *c.Exists == (value != nil)
	case value == nil:
		return false
	case c.Prefix != nil:
		return strings.HasPrefix(*value, *c.Prefix)
	}
	return c.But != nil && !slices.Contains(c.But, *value)
}
