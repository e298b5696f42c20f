package history

import (
	"math"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Expiry is one rule by which the server removes documents by itself: a TTL index, or that of a clustered collection.
type Expiry struct {
	path  []string
	after time.Duration
}

// Expiries gives the rules of a collection that are certain. A TTL index with a partial filter is left out, and so are
// buckets, which expire by rules of their own: in doubt a document is not due, and the server decides.
func Expiries(c pitr.Collection) []Expiry {
	var rules []Expiry
	if _, isTimeseries := c.Options.Lookup("timeseries").DocumentOK(); isTimeseries {
		return nil
	}
	for _, index := range c.Indexes {
		key, _ := index.Lookup("key").DocumentOK()
		elements, err := key.Elements()
		if _, filtered := index.Lookup("partialFilterExpression").DocumentOK(); err != nil || len(elements) != 1 || filtered {
			continue
		}
		if after, ok := lifetime(index.Lookup("expireAfterSeconds")); ok {
			rules = append(rules, Expiry{path: strings.Split(elements[0].Key(), "."), after: after})
		}
	}
	if _, clustered := c.Options.Lookup("clusteredIndex").DocumentOK(); clustered {
		if after, ok := lifetime(c.Options.Lookup("expireAfterSeconds")); ok {
			rules = append(rules, Expiry{path: []string{"_id"}, after: after})
		}
	}
	return rules
}

// lifetime reads expireAfterSeconds. The largest 32-bit number stands for an index without expiry.
func lifetime(value bson.RawValue) (time.Duration, bool) {
	seconds, ok := value.AsFloat64OK()
	if !ok || math.IsNaN(seconds) || seconds < 0 || seconds >= math.MaxInt32 {
		return 0, false
	}
	return time.Duration(seconds) * time.Second, true
}

// Due reports whether one of the rules has the server remove a document at a moment: it looks at dates, also inside
// arrays, of which the earliest counts.
func Due(rules []Expiry, document bson.Raw, at time.Time) bool {
	for _, rule := range rules {
		bound := at.Add(-rule.after)
		for _, value := range reach(document, rule.path) {
			if date, ok := value.DateTimeOK(); ok && !time.UnixMilli(date).After(bound) {
				return true
			}
		}
	}
	return false
}

// reach collects the values at the end of a path, those inside arrays one by one, as an index does.
func reach(document bson.Raw, path []string) []bson.RawValue {
	var values []bson.RawValue
	value, err := document.LookupErr(path[0])
	if err != nil {
		return nil
	}
	if array, ok := value.ArrayOK(); ok {
		elements, err := array.Values()
		if err != nil {
			return nil
		}
		for i, element := range elements {
			inner, isDocument := element.DocumentOK()
			switch {
			case len(path) == 1:
				values = append(values, element)
			case isDocument:
				values = append(values, reach(inner, path[1:])...)
			}
			// A number in the path may also name a place in the array.
			if len(path) > 1 && path[1] == strconv.Itoa(i) {
				if len(path) == 2 {
					values = append(values, element)
				} else if isDocument {
					values = append(values, reach(inner, path[2:])...)
				}
			}
		}
		return values
	}
	if len(path) == 1 {
		return []bson.RawValue{value}
	}
	if inner, ok := value.DocumentOK(); ok {
		return reach(inner, path[1:])
	}
	return nil
}
