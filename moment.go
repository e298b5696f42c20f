package pitr

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// MomentKind says what a typed moment still needs before it is a bound between entries.
type MomentKind int

// The kinds of a typed moment.
const (
	// MomentBound is complete.
	MomentBound MomentKind = iota
	// MomentSecond is a bare wall-clock second: if entries in scope lie in it, a person must say before or after them.
	MomentSecond
	// MomentMark is the name of a mark.
	MomentMark
	// MomentNow is the newest moment there is.
	MomentNow
)

// Moment is what a person typed where a moment is asked for.
type Moment struct {
	Kind MomentKind
	// Bound is set for MomentBound; entries at or below it have happened.
	Bound Timestamp
	// Second is set for MomentSecond: seconds since the Unix epoch.
	Second uint32
	// Mark is set for MomentMark.
	Mark string
}

// BeforeSecond gives the bound before all entries of a bare second.
func (m Moment) BeforeSecond() Timestamp { return NewTimestamp(m.Second, 0).Before() }

// ThroughSecond gives the bound after all entries of a bare second.
func (m Moment) ThroughSecond() Timestamp { return NewTimestamp(m.Second, math.MaxUint32) }

// TimeContext is what ParseTime needs to know of the person's surroundings.
type TimeContext struct {
	// Now is the wall clock, for "now" and "10m ago".
	Now time.Time
	// Zone is used for a time that names none; nil refuses such a time.
	Zone *time.Location
}

// momentHint lists the forms; every refusal of ParseTime carries it or something narrower.
const momentHint = "write a moment as 2025-10-22T08:10:00Z, `2025-10-22 10:10 Europe/Madrid`, 1761120000:7, " +
	"mark:NAME, now, `10m ago`, or with before/through in front"

// ParseTime reads a moment. It never guesses: a time without a zone (unless the context has one), a local time that a
// clock change makes ambiguous or impossible, and anything else it does not know are errors of kind invalid.
func ParseTime(text string, surroundings TimeContext) (Moment, error) {
	text = strings.TrimSpace(text)
	if side, rest, found := cutSide(text); found {
		return parseSided(side, rest, surroundings)
	}
	if name, found := strings.CutPrefix(text, "mark:"); found {
		if name == "" {
			return Moment{}, badTime(momentHint, "mark: without a name")
		}
		return Moment{Kind: MomentMark, Mark: name}, nil
	}
	if text == "now" {
		return Moment{Kind: MomentNow}, nil
	}
	if ts, err := ParseTimestamp(text); err == nil {
		return Moment{Kind: MomentBound, Bound: ts}, nil
	}
	when, err := parseWall(text, surroundings)
	if err != nil {
		return Moment{}, err
	}
	if when.Unix() < 0 || when.Unix() > math.MaxUint32 {
		return Moment{}, badTime(momentHint, "%q lies outside of what a cluster time can say", text)
	}
	return Moment{Kind: MomentSecond, Second: uint32(when.Unix())}, nil
}

func cutSide(text string) (side, rest string, found bool) {
	side, rest, found = strings.Cut(text, " ")
	return side, strings.TrimSpace(rest), found && (side == "before" || side == "through")
}

func parseSided(side, text string, surroundings TimeContext) (Moment, error) {
	if _, _, doubled := cutSide(text); doubled {
		return Moment{}, badTime(momentHint, "before and through cannot be combined")
	}
	moment, err := ParseTime(text, surroundings)
	if err != nil {
		return Moment{}, err
	}
	switch {
	case moment.Kind == MomentBound && side == "before":
		moment.Bound = moment.Bound.Before()
	case moment.Kind == MomentSecond && side == "before":
		moment = Moment{Kind: MomentBound, Bound: moment.BeforeSecond()}
	case moment.Kind == MomentSecond:
		moment = Moment{Kind: MomentBound, Bound: moment.ThroughSecond()}
	case moment.Kind != MomentBound:
		return Moment{}, badTime(momentHint, "%s goes with a time, not with %q", side, text)
	}
	return moment, nil
}

func parseWall(text string, surroundings TimeContext) (time.Time, error) {
	if span, found := strings.CutSuffix(text, " ago"); found {
		length, err := time.ParseDuration(strings.TrimSpace(span))
		if err != nil || length < 0 {
			return time.Time{}, badTime("write a span such as `10m ago` or `2h30m ago`", "%q is not a span of time", span)
		}
		return surroundings.Now.Add(-length), nil
	}
	if when, err := time.Parse(time.RFC3339, text); err == nil {
		return when, nil
	}
	date, rest, _ := strings.Cut(text, " ")
	clock, zone, _ := strings.Cut(rest, " ")
	location := surroundings.Zone
	if zone = strings.TrimSpace(zone); zone != "" {
		var err error
		if location, err = parseZone(zone); err != nil {
			return time.Time{}, err
		}
	}
	local, err := parseLocal(date, clock)
	switch {
	case err != nil:
		return time.Time{}, badTime(momentHint, "%q is not a moment", text)
	case location == nil:
		return time.Time{}, badTime(fmt.Sprintf("add the zone: `%s UTC` or `%s Europe/Madrid`", text, text),
			"%q names no time zone", text)
	}
	return inZone(local, location)
}

func parseZone(name string) (*time.Location, error) {
	if offset, err := time.Parse("-07:00", name); err == nil {
		return offset.Location(), nil
	}
	if name == "UTC" || name == "Z" {
		return time.UTC, nil
	}
	// Abbreviations such as CST or IST mean several zones; only names of the zone database are taken.
	if !strings.Contains(name, "/") {
		return nil, badTime("write UTC, an offset such as +02:00, or a name such as Europe/Madrid", "%q is not a time zone", name)
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		return nil, badTime("write UTC, an offset such as +02:00, or a name such as Europe/Madrid", "%q is not a time zone", name)
	}
	return location, nil
}

func parseLocal(date, clock string) (time.Time, error) {
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if local, err := time.Parse(layout, date+" "+clock); err == nil {
			return local, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s %s is no date with a time", date, clock)
}

// inZone finds the instants that a clock in the zone shows as this local time: none in a spring gap, two in an autumn fold.
func inZone(local time.Time, location *time.Location) (time.Time, error) {
	var found []time.Time
	// A zone's offset changes by at most a few hours, so a day on either side sees every offset that can apply.
	for _, near := range []time.Time{local.Add(-24 * time.Hour), local.Add(24 * time.Hour)} {
		_, offset := near.In(location).Zone()
		instant := local.Add(-time.Duration(offset) * time.Second)
		shown := instant.In(location)
		same := shown.Format(time.DateTime) == local.Format(time.DateTime)
		if same && (len(found) == 0 || !found[0].Equal(instant)) {
			found = append(found, instant.UTC())
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return time.Time{}, badTime("give the time in UTC", "%s does not exist in %s: the clocks were put forward",
			local.Format(time.DateTime), location)
	}
	return time.Time{}, badTime(fmt.Sprintf("write %s or %s", found[0].Format(time.RFC3339), found[1].Format(time.RFC3339)),
		"%s happened twice in %s: the clocks were put back", local.Format(time.DateTime), location)
}

func badTime(hint, format string, args ...any) error {
	return Errorf(KindInvalid, "read a moment", hint, format, args...)
}
