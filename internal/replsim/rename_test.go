package replsim_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// renaming pairs the values of a recording with those of a live server: each recorded value stands for one live value, from
// its first appearance on, and the other way round.
type renaming struct {
	live     map[string]bson.RawValue
	recorded map[string]string
	words    map[string]string
}

func newRenaming() *renaming {
	return &renaming{live: map[string]bson.RawValue{}, recorded: map[string]string{}, words: map[string]string{}}
}

// recordedHost is the member of the recordings.
var recordedHost = regexp.MustCompile(`127\.0\.0\.1:\d+`)

func (n *renaming) host(live string) { n.words["host"] = live }

// volatile are fields that no two runs have in common, or that tell about the machine; their presence and type is compared.
var volatile = map[string]bool{
	"connectionId": true, "localTime": true, "uptime": true, "uptimeMillis": true, "uptimeEstimate": true, "pid": true, "host": true,
	"lastElectionDate": true, "electionDate": true, "newTermStartDate": true, "wMajorityWriteAvailabilityDate": true,
	"date": true, "wall": true, "lastWriteDate": true, "majorityWriteDate": true, "salt": true, "storedKey": true, "serverKey": true, "userId": true, "expiresAt": true, "lastStableRecoveryTimestamp": true,
}

func key(v bson.RawValue) string { return string([]byte{byte(v.Type)}) + string(v.Value) }

// compare gives the first difference of two documents.
func (n *renaming) compare(recorded, live bson.Raw, at string) string {
	if code := live.Lookup("codeName"); code.Type != 0 && recorded.Lookup("codeName").Type == 0 {
		return fmt.Sprintf("%s is an error: %.700s", at, live)
	}
	a, err := recorded.Elements()
	if err != nil {
		return at + ": " + err.Error()
	}
	b, err := live.Elements()
	if err != nil {
		return at + ": " + err.Error()
	}
	for i, x := range a {
		if i >= len(b) {
			return fmt.Sprintf("%s.%s is missing, recorded %.300s", at, x.Key(), x.Value())
		}
		y := b[i]
		if x.Key() != y.Key() {
			return fmt.Sprintf("%s: field %d is %s, recorded %s; live %.600s recorded %.600s", at, i+1, y.Key(), x.Key(), live, recorded)
		}
		if problem := n.value(x.Value(), y.Value(), at+"."+x.Key()); problem != "" {
			return problem
		}
	}
	if len(b) > len(a) {
		return fmt.Sprintf("%s.%s is too much: %.300s", at, b[len(a)].Key(), b[len(a)].Value())
	}
	return ""
}

func (n *renaming) value(recorded, live bson.RawValue, at string) string {
	field := at[strings.LastIndexByte(at, '.')+1:]
	switch {
	case recorded.Type != live.Type:
		return fmt.Sprintf("%s is %.300s (%s), recorded %.300s (%s)", at, live, live.Type, recorded, recorded.Type)
	case recorded.Type == bson.TypeEmbeddedDocument || recorded.Type == bson.TypeArray:
		return n.compare(bson.Raw(recorded.Value), bson.Raw(live.Value), at)
	case volatile[field]:
		return ""
	case recorded.Type == bson.TypeString:
		return n.text(recorded.StringValue(), live.StringValue(), at)
	case recorded.Type == bson.TypeDateTime:
		if apart := recorded.Time().Sub(live.Time()).Abs(); apart > 5*time.Second {
			return fmt.Sprintf("%s is %s, recorded %s: %s apart", at, live, recorded, apart)
		}
		return ""
	case n.renamed(recorded, field, at):
		return n.pair(recorded, live, at)
	case string(recorded.Value) != string(live.Value):
		return fmt.Sprintf("%s is %.300s, recorded %.300s", at, live, recorded)
	}
	return ""
}

// renamed reports whether a value may differ from run to run.
func (n *renaming) renamed(v bson.RawValue, field, at string) bool {
	switch v.Type {
	case bson.TypeTimestamp, bson.TypeObjectID:
		return true
	case bson.TypeBinary:
		subtype, _ := v.Binary()
		return subtype == bson.TypeBinaryUUID || field == "uid"
	case bson.TypeInt64:
		return field == "id" || strings.Contains(at, ".cursors")
	}
	return false
}

// pair binds a recorded value to a live one, or checks the binding.
func (n *renaming) pair(recorded, live bson.RawValue, at string) string {
	k, l := key(recorded), key(live)
	known, bound := n.live[k]
	back, taken := n.recorded[l]
	switch {
	case !bound && !taken:
		if zero(recorded) != zero(live) {
			return fmt.Sprintf("%s is %s, recorded %s", at, live, recorded)
		}
		n.live[k], n.recorded[l] = live, k
		return ""
	case bound && key(known) == l, k == l && data(recorded):
		return ""
	case bound:
		return fmt.Sprintf("%s is %s; recorded %s, which was %s before", at, live, recorded, known)
	}
	return fmt.Sprintf("%s is %s, which stood for another value than the recorded %s before (%x)", at, live, recorded, back)
}

// data reports whether a value is too odd to be a server's: tests write such values themselves.
func data(v bson.RawValue) bool {
	t, _, ok := v.TimestampOK()
	return ok && (t < 1<<30 || t > 1<<31)
}

func zero(v bson.RawValue) bool {
	return strings.Trim(string(v.Value), "\x00") == ""
}

var (
	uuidText      = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	timestampText = regexp.MustCompile(`Timestamp\(\d+, \d+\)`)
	cursorText    = regexp.MustCompile(`cursor id \d+`)
	temporaryName = regexp.MustCompile(`tmp[A-Za-z0-9]{5}\.`)
)

// text compares strings in which UUIDs, times, cursors, hosts and random names may differ.
func (n *renaming) text(recorded, live, at string) string {
	if recorded == live {
		return ""
	}
	for _, shape := range []*regexp.Regexp{uuidText, timestampText, cursorText, temporaryName, recordedHost} {
		a, b := shape.FindAllString(recorded, -1), shape.FindAllString(live, -1)
		if len(a) != len(b) {
			continue
		}
		for i := range a {
			if known, bound := n.words[a[i]]; bound && known != b[i] {
				return fmt.Sprintf("%s has %s for %s, which was %s before", at, b[i], a[i], known)
			}
			n.words[a[i]] = b[i]
			recorded = strings.ReplaceAll(recorded, a[i], "\x00"+strconv.Itoa(i))
			live = strings.ReplaceAll(live, b[i], "\x00"+strconv.Itoa(i))
		}
	}
	if recorded != live {
		return fmt.Sprintf("%s is %.500q, recorded %.500q", at, live, recorded)
	}
	return ""
}

// toLive replaces the recorded values of a command by those that they stand for.
func (n *renaming) toLive(command bson.Raw) bson.Raw {
	return n.translate(bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: command}).Document()
}

func (n *renaming) translate(v bson.RawValue) bson.RawValue {
	switch v.Type {
	case bson.TypeEmbeddedDocument, bson.TypeArray:
		elements, err := bson.Raw(v.Value).Elements()
		if err != nil {
			return v
		}
		dst := make([]byte, 4, len(v.Value))
		for _, e := range elements {
			value := n.translate(e.Value())
			dst = append(dst, byte(value.Type))
			dst = append(append(dst, e.Key()...), 0)
			dst = append(dst, value.Value...)
		}
		dst = append(dst, 0)
		dst[0], dst[1], dst[2], dst[3] = byte(len(dst)), byte(len(dst)>>8), byte(len(dst)>>16), byte(len(dst)>>24)
		return bson.RawValue{Type: v.Type, Value: dst}
	case bson.TypeTimestamp, bson.TypeObjectID, bson.TypeBinary, bson.TypeInt64:
		if live, ok := n.live[key(v)]; ok {
			return live
		}
	}
	return v
}
