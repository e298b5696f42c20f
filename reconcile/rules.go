package reconcile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.yaml.in/yaml/v3"

	"pitr"
	"pitr/diff"
)

// Rules decide about many records at once. What decides about a record is, in this order: its own override, the first rule
// that matches it, the suggestion where the rules ask for it, and else nothing: the record is left.
//
// A rule compares values for equality and knows no operators: whoever writes one cannot make the server do anything, and
// what looks like an operator is refused.
type Rules struct {
	rules     []rule
	overrides map[string]Decision
	suggested bool
}

// rule is one selector with its decision. Empty parts select everything; one of them is given at least.
type rule struct {
	collection string
	class      pitr.Class
	state      State
	where      []equality
	from       time.Time
	until      time.Time
	burst      int
	decision   Decision
}

// equality is a field with the value that it must have.
type equality struct {
	path  diff.Path
	value any
}

// Suggested gives rules that follow every suggestion and nothing else.
func Suggested() Rules { return Rules{suggested: true} }

// rulesFile is the file as it is written.
type rulesFile struct {
	Suggested bool              `yaml:"suggested"`
	Rules     []ruleText        `yaml:"rules"`
	Overrides map[string]string `yaml:"overrides"`
}

type ruleText struct {
	Collection string               `yaml:"collection"`
	Class      string               `yaml:"class"`
	State      string               `yaml:"state"`
	Where      map[string]yaml.Node `yaml:"where"`
	From       string               `yaml:"from"`
	Until      string               `yaml:"until"`
	Burst      int                  `yaml:"burst"`
	Decision   string               `yaml:"decision"`
}

// maxRulesFile bounds what is read of a file of rules.
const maxRulesFile = 16 << 20

// ParseRules reads rules; what it does not know is an error of kind invalid.
func ParseRules(from io.Reader) (Rules, error) {
	content, err := io.ReadAll(io.LimitReader(from, maxRulesFile+1))
	if err != nil {
		return Rules{}, fmt.Errorf("read the rules: %w", err)
	}
	if len(content) > maxRulesFile {
		return Rules{}, badRule("the file is larger than %d bytes", maxRulesFile)
	}
	var file rulesFile
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return Rules{}, badRule("%w", err)
	}
	if decoder.Decode(new(yaml.Node)) == nil {
		return Rules{}, badRule("the file holds more than one YAML document")
	}
	rules := Rules{suggested: file.Suggested, overrides: map[string]Decision{}}
	for i, text := range file.Rules {
		read, err := text.read()
		if err != nil {
			return Rules{}, badRule("rule %d: %w", i+1, err)
		}
		rules.rules = append(rules.rules, read)
	}
	for token, word := range file.Overrides {
		if rules.overrides[token], err = readDecision(word); err != nil {
			return Rules{}, badRule("the override of %.40q: %w", token, err)
		}
	}
	if len(rules.rules) == 0 && len(rules.overrides) == 0 && !rules.suggested {
		return Rules{}, badRule("there is neither a rule nor an override, nor `suggested: true`")
	}
	return rules, nil
}

func badRule(message string, args ...any) error {
	return pitr.Errorf(pitr.KindInvalid, "read the rules", "docs/reconcile.md shows what a rule can say", message, args...)
}

func readDecision(word string) (Decision, error) {
	if d := Decision(word); d.IsKnown() {
		return d, nil
	}
	return "", fmt.Errorf("%.40q is no decision; there are: %s", word, strings.Join(knownDecisions(), "; "))
}

func (t ruleText) read() (rule, error) {
	r := rule{collection: t.Collection, class: pitr.Class(t.Class), state: State(t.State), burst: t.Burst}
	var err error
	if r.decision, err = readDecision(t.Decision); err != nil {
		return r, err
	}
	if t.Class != "" && !slices.Contains(allClasses, r.class) {
		return r, fmt.Errorf("%.40q is no class", t.Class)
	}
	if t.State != "" && !slices.Contains(AllStates, r.state) {
		return r, fmt.Errorf("%.40q is no state", t.State)
	}
	if t.Collection != "" {
		if _, err := pitr.ParseNamespace(t.Collection); err != nil {
			return r, fmt.Errorf("collection %.80q: write db.collection", t.Collection)
		}
	}
	for _, moment := range []struct {
		name, text string
		to         *time.Time
	}{{"from", t.From, &r.from}, {"until", t.Until, &r.until}} {
		if moment.text == "" {
			continue
		}
		if *moment.to, err = time.Parse(time.RFC3339, moment.text); err != nil {
			return r, fmt.Errorf("%s %.40q is no time such as 2025-10-22T08:35:00Z", moment.name, moment.text)
		}
	}
	if r.where, err = readWhere(t.Where); err != nil {
		return r, err
	}
	if r.burst < 0 {
		return r, fmt.Errorf("burst %d: bursts count from 1", r.burst)
	}
	if t.Collection == "" && t.Class == "" && t.State == "" && len(t.Where) == 0 && t.From == "" && t.Until == "" && t.Burst == 0 {
		return r, errors.New("it selects nothing: give collection, class, state, where, from, until or burst")
	}
	return r, nil
}

// readWhere reads fields and values; a value is a scalar, a field no operator.
func readWhere(where map[string]yaml.Node) ([]equality, error) {
	var list []equality
	for field, node := range where {
		path := diff.Path(strings.Split(field, "."))
		if slices.ContainsFunc(path, func(name string) bool { return name == "" || strings.HasPrefix(name, "$") }) {
			return nil, fmt.Errorf("where: %.80q is no field; a rule compares fields for equality and has no operators", field)
		}
		var value any
		if node.Kind != yaml.ScalarNode || node.Decode(&value) != nil {
			return nil, fmt.Errorf("where: %s: the value is no single text, number, time, true, false or null", field)
		}
		list = append(list, equality{path: path, value: value})
	}
	return list, nil
}

var allClasses = []pitr.Class{pitr.ClassCreated, pitr.ClassChanged, pitr.ClassDeleted, pitr.ClassCameAndWent, pitr.ClassUnchanged, pitr.ClassExpired}

// AllStates lists the states in the order in which they are told.
var AllStates = []State{StateLost, StateCameBackElsewhere, StateCameBack, StateChangeLost, StateChangedSince, StateGoneSince, StateDeleted,
	StateCameAndWent, StateExpired, StateUnchanged}

// Apply decides about every record of a plan. A token or a collection that the plan does not have is refused: it stands in
// the wrong file, or is a slip of the pen.
func (rules Rules) Apply(plan *Plan) (Decided, error) {
	decided := Decided{}
	met := map[string]bool{}
	for i, rule := range rules.rules {
		ns, _ := pitr.ParseNamespace(rule.collection)
		if rule.collection != "" && plan.Counts[ns] == nil {
			return nil, badRule("rule %d: the lost set has no record of %s", i+1, rule.collection)
		}
	}
	for record, err := range plan.Records() {
		if err != nil {
			return nil, err
		}
		if d, own := rules.overrides[record.Token]; own {
			met[record.Token] = true
			decided[record.Change.N] = d
			continue
		}
		if d, found := rules.first(record); found {
			decided[record.Change.N] = d
		}
	}
	for token := range rules.overrides {
		if !met[token] {
			return nil, badRule("the override of %.40q: the lost set of job %s has no such record", token, plan.Job)
		}
	}
	return decided, nil
}

// Decided are decisions by the number of the change.
type Decided map[int64]Decision

// Of gives the decision about a change.
func (d Decided) Of(n int64) (Decision, bool) {
	decision, found := d[n]
	return decision, found
}

// first gives the decision of the first rule that matches, or the suggestion.
func (rules Rules) first(record Record) (Decision, bool) {
	for _, rule := range rules.rules {
		if rule.matches(record) {
			return rule.decision, true
		}
	}
	return record.Suggested, rules.suggested
}

func (r rule) matches(record Record) bool {
	change := record.Change
	last := time.Unix(int64(change.Last.TS.Seconds()), 0)
	switch {
	case r.collection != "" && r.collection != change.NS.String():
	case r.class != "" && r.class != change.Class:
	case r.state != "" && r.state != record.State:
	case !r.from.IsZero() && last.Before(r.from):
	case !r.until.IsZero() && !last.Before(r.until):
	case r.burst != 0 && !slices.Contains(change.Bursts, r.burst):
	default:
		document := change.E
		if document == nil {
			document = change.T
		}
		return !slices.ContainsFunc(r.where, func(e equality) bool { return !e.holds(document) })
	}
	return false
}

// holds compares a field with the wanted value; numbers by value, ids and other values of a type that YAML does not have by
// their text.
func (e equality) holds(document bson.Raw) bool {
	found := valueAt(document, e.path)
	switch wanted := e.value.(type) {
	case nil:
		return found.Type == 0 || found.Type == bson.TypeNull
	case bool:
		value, ok := found.BooleanOK()
		return ok && value == wanted
	case string:
		if id, ok := found.ObjectIDOK(); ok {
			return id.Hex() == wanted
		}
		value, ok := found.StringValueOK()
		return ok && value == wanted
	case time.Time:
		value, ok := found.DateTimeOK()
		return ok && value == wanted.UnixMilli()
	}
	return sameNumber(found, e.value)
}

// sameNumber compares a number of a document with one of a rule by value.
func sameNumber(found bson.RawValue, wanted any) bool {
	kind, content, err := bson.MarshalValue(wanted)
	if err != nil || !found.IsNumber() {
		return false
	}
	a, errA := pitr.NewKey(found)
	b, errB := pitr.NewKey(bson.RawValue{Type: kind, Value: content})
	return errA == nil && errB == nil && a.Equal() == b.Equal()
}
