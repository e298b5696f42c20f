package prune

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"pitr"
)

// LeastRedundancy is how many good snapshots always stay, whatever the policy says.
const LeastRedundancy = 2

// Policy says what to keep. The zero value keeps every snapshot and every moment.
type Policy struct {
	// Keep says that there are rules for snapshots at all; without rules every snapshot stays.
	Keep bool
	// Last is how many of the newest snapshots stay; the others keep the newest one of each of so many hours, days, ISO weeks,
	// months and years (in UTC) that have a snapshot.
	Last, Hourly, Daily, Weekly, Monthly, Yearly int
	// Within keeps every snapshot that is younger.
	Within time.Duration
	// Minimum is how many good snapshots stay in any case; LeastRedundancy when less.
	Minimum int
	// Window is the promise: every reachable moment of so long before the end of the archive stays reachable. Zero promises
	// every moment since the oldest snapshot that stays.
	Window time.Duration
}

// ParsePolicy reads the settings keep and pitr-window, such as "last=7,daily=14,within=30d" and "72h". Both may be empty.
func ParsePolicy(keep, window string) (Policy, error) {
	var p Policy
	seen := map[string]bool{}
	for _, rule := range strings.FieldsFunc(keep, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, value, found := strings.Cut(rule, "=")
		if !found || seen[name] {
			return Policy{}, badRule("%q is no rule, or stands there twice", rule)
		}
		seen[name] = true
		if err := p.set(name, value); err != nil {
			return Policy{}, err
		}
	}
	p.Keep = slices.ContainsFunc(rules, func(r rule) bool { return *r.of(&p) > 0 }) || p.Within > 0
	if len(seen) > 0 && !p.Keep {
		return Policy{}, badRule("no rule keeps anything")
	}
	if window != "" {
		span, err := parseSpan(window)
		if err != nil || span < time.Hour {
			return Policy{}, pitr.Errorf(pitr.KindInvalid, "read pitr-window", "write a span of at least an hour, such as 72h or 14d",
				"%q is not one", window)
		}
		p.Window = span
	}
	return p, nil
}

func badRule(message string, args ...any) error {
	return pitr.Errorf(pitr.KindInvalid, "read keep",
		"write rules such as last=7,daily=14,weekly=8,monthly=12,yearly=3; also hourly=N, within=30d, minimum=N", message, args...)
}

// rule is a rule that counts.
type rule struct {
	name string
	of   func(*Policy) *int
	// bucket gives the period that a time falls into; nil counts snapshots themselves.
	bucket func(time.Time) string
}

var rules = []rule{
	{"last", func(p *Policy) *int { return &p.Last }, nil},
	{"hourly", func(p *Policy) *int { return &p.Hourly }, layout("2006010215")},
	{"daily", func(p *Policy) *int { return &p.Daily }, layout("20060102")},
	{"weekly", func(p *Policy) *int { return &p.Weekly }, func(t time.Time) string {
		year, week := t.ISOWeek()
		return fmt.Sprintf("%d-%d", year, week)
	}},
	{"monthly", func(p *Policy) *int { return &p.Monthly }, layout("200601")},
	{"yearly", func(p *Policy) *int { return &p.Yearly }, layout("2006")},
}

func layout(form string) func(time.Time) string {
	return func(t time.Time) string { return t.Format(form) }
}

func (p *Policy) set(name, value string) error {
	if name == "within" {
		span, err := parseSpan(value)
		if err != nil {
			return badRule("within is %q, not a span such as 36h or 30d", value)
		}
		p.Within = span
		return nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return badRule("%s is %q, not a number", name, value)
	}
	if name == "minimum" {
		if n < LeastRedundancy {
			return badRule("fewer than %d good snapshots are never kept", LeastRedundancy)
		}
		p.Minimum = n
		return nil
	}
	for _, each := range rules {
		if each.name == name {
			*each.of(p) = n
			return nil
		}
	}
	return badRule("%q is not a rule", name)
}

// parseSpan reads what time.ParseDuration reads, and whole days (d) and weeks (w).
func parseSpan(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	unit := map[byte]time.Duration{'d': day, 'w': 7 * day}
	if text != "" && unit[text[len(text)-1]] != 0 {
		n, err := strconv.Atoi(text[:len(text)-1])
		one := unit[text[len(text)-1]]
		if err != nil || n < 0 || int64(n) > math.MaxInt64/int64(one) {
			return 0, fmt.Errorf("%q is not a span", text)
		}
		return time.Duration(n) * one, nil
	}
	span, err := time.ParseDuration(text)
	if err == nil && span < 0 {
		err = fmt.Errorf("%q is not a span", text)
	}
	return span, err
}

// String gives the policy as a person writes it.
func (p Policy) String() string {
	var words []string
	for _, each := range rules {
		if n := *each.of(&p); n > 0 {
			words = append(words, fmt.Sprintf("%s=%d", each.name, n))
		}
	}
	if p.Within > 0 {
		words = append(words, "within="+Span(p.Within))
	}
	if p.Minimum > LeastRedundancy {
		words = append(words, fmt.Sprintf("minimum=%d", p.Minimum))
	}
	if len(words) == 0 {
		words = append(words, "every snapshot")
	}
	if p.Window == 0 {
		return strings.Join(words, ",") + "; every moment since the oldest snapshot that stays"
	}
	return strings.Join(words, ",") + "; every moment of the last " + Span(p.Window)
}

// Span shows a span in days where it is whole days.
func Span(span time.Duration) string {
	if days := span / (24 * time.Hour); days > 0 && span == days*24*time.Hour {
		return fmt.Sprintf("%dd", days)
	}
	text := span.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
