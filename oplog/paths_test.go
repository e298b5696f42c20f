package oplog_test

import (
	"strings"
	"testing"

	"pitr"
	"pitr/oplog"
)

func TestChangedPaths(t *testing.T) {
	for o, want := range map[string]string{
		`{"$v":2,"diff":{"d":{"x":false},"u":{"b":1},"i":{"a":1},"b":{"c":{"o":0,"d":{"$binary":{"base64":"","subType":"00"}}}}}}`: "a b c x",
		`{"$v":2,"diff":{"saddress":{"u":{"city":1},"sgeo":{"i":{"lat":1}}},"slines":{"a":true,"u3":1}}}`:                          "address.city address.geo.lat lines",
		`{"$v":1,"$set":{"a.b":1,"c":2},"$unset":{"d":true}}`:                                                                      "a.b c d",
		`{"_id":1,"a":2}`: "",
	} {
		paths, err := oplog.ChangedPaths(document(t, o))
		if got := strings.Join(paths, " "); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", o, got, err, want)
		}
	}
	if _, err := oplog.ChangedPaths(document(t, `{"$v":2,"diff":{"z":{}}}`)); pitr.KindOf(err) != pitr.KindUnsupported {
		t.Errorf("an unknown section: %v", err)
	}
}
