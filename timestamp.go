package pitr

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Timestamp is a cluster time: seconds since the Unix epoch in the high 32 bits, the ordinal within the second in the
// low ones. Later moments are larger numbers. As a bound it lies after the entry that bears it: "at T" includes that entry.
type Timestamp uint64

// MaxTimestamp is later than every moment of a cluster.
const MaxTimestamp = Timestamp(math.MaxUint64)

// NewTimestamp joins seconds and ordinal.
func NewTimestamp(seconds, ordinal uint32) Timestamp {
	return Timestamp(uint64(seconds)<<32 | uint64(ordinal))
}

// TimestampOf converts the BSON form.
func TimestampOf(ts bson.Timestamp) Timestamp { return NewTimestamp(ts.T, ts.I) }

// ParseTimestamp reads "1761120000:7".
func ParseTimestamp(text string) (Timestamp, error) {
	seconds, ordinal, found := strings.Cut(text, ":")
	s, err := parseUint32(seconds)
	if !found || err != nil {
		return 0, fmt.Errorf("%q is not a cluster time such as 1761120000:7", text)
	}
	o, err := parseUint32(ordinal)
	if err != nil {
		return 0, fmt.Errorf("%q is not a cluster time such as 1761120000:7", text)
	}
	return NewTimestamp(s, o), nil
}

// parseUint32 takes plain decimal digits only, so that one time has one text.
func parseUint32(digits string) (uint32, error) {
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || strconv.FormatUint(n, 10) != digits {
		return 0, fmt.Errorf("%q is not a plain 32-bit number", digits)
	}
	return uint32(n), nil
}

// Seconds gives the seconds since the Unix epoch.
func (t Timestamp) Seconds() uint32 { return uint32(t >> 32) }

// Ordinal gives the place within the second.
func (t Timestamp) Ordinal() uint32 { return uint32(t) }

// BSON gives the form that the server speaks.
func (t Timestamp) BSON() bson.Timestamp { return bson.Timestamp{T: t.Seconds(), I: t.Ordinal()} }

// Time gives the second in UTC; the ordinal has no place in wall-clock time.
func (t Timestamp) Time() time.Time { return time.Unix(int64(t.Seconds()), 0).UTC() }

// Before gives the bound just before an entry with this time; zero stays zero.
func (t Timestamp) Before() Timestamp {
	if t == 0 {
		return 0
	}
	return t - 1
}

// String gives "seconds:ordinal", the only text form that pitr reads and writes.
func (t Timestamp) String() string { return fmt.Sprintf("%d:%d", t.Seconds(), t.Ordinal()) }

// Clock is the time for a person to read, with the exact form to type behind it where that tells more than the second.
func (t Timestamp) Clock() string {
	text := t.Time().Format("2006-01-02 15:04:05 UTC")
	if t.Ordinal() == math.MaxUint32 { // the end of a second: nobody typed that ordinal
		return text
	}
	return text + " (" + t.String() + ")"
}

// MarshalText gives the text form.
func (t Timestamp) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the text form.
func (t *Timestamp) UnmarshalText(text []byte) (err error) {
	*t, err = ParseTimestamp(string(text))
	return err
}

// OpTime names one entry of one history: its cluster time and the election term it was written in.
type OpTime struct {
	TS   Timestamp `json:"ts"`
	Term int64     `json:"term"`
}

// IsZero reports whether no entry is named.
func (o OpTime) IsZero() bool { return o == OpTime{} }

// Compare orders by term first, as the server does, then by time.
func (o OpTime) Compare(other OpTime) int {
	switch {
	case o.Term != other.Term && o.Term < other.Term:
		return -1
	case o.Term != other.Term:
		return 1
	case o.TS < other.TS:
		return -1
	case o.TS > other.TS:
		return 1
	}
	return 0
}

// String gives "seconds:ordinal in term n".
func (o OpTime) String() string { return fmt.Sprintf("%s in term %d", o.TS, o.Term) }

// Window is the span of cluster time (After, Through]: After lies outside, Through inside.
type Window struct {
	After   Timestamp `json:"after"`
	Through Timestamp `json:"through"`
}

// IsEmpty reports whether no moment lies inside.
func (w Window) IsEmpty() bool { return w.After >= w.Through }

// Contains reports whether an entry with this time lies inside.
func (w Window) Contains(t Timestamp) bool { return w.After < t && t <= w.Through }

// Covers reports whether every moment of other lies inside.
func (w Window) Covers(other Window) bool {
	return other.IsEmpty() || (w.After <= other.After && other.Through <= w.Through)
}

// Intersect gives the common part, which may be empty.
func (w Window) Intersect(other Window) Window {
	return Window{After: max(w.After, other.After), Through: min(w.Through, other.Through)}
}

// String gives "(after, through]".
func (w Window) String() string { return fmt.Sprintf("(%s, %s]", w.After, w.Through) }
