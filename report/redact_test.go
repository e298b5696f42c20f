package report_test

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/report"
)

func raw(t *testing.T, text string) bson.Raw {
	t.Helper()
	var document bson.Raw
	if err := bson.UnmarshalExtJSON([]byte(text), true, &document); err != nil {
		t.Fatal(err)
	}
	return document
}

func TestRedactorHidesEveryWayToAValue(t *testing.T) {
	redactor, err := report.NewRedactor([]string{"tokens.jwt", "deviceauth.keys.list.secret"})
	if err != nil {
		t.Fatal(err)
	}
	tokens := pitr.Namespace{DB: "deviceauth", Collection: "tokens"}
	keys := pitr.Namespace{DB: "deviceauth", Collection: "keys"}
	for _, c := range []struct {
		ns   pitr.Namespace
		text string
	}{
		{tokens, `{"_id": 1, "jwt": "CANARY", "sub": "open"}`},
		{tokens, `{"_id": 1, "jwt": {"deep": ["CANARY"]}, "sub": "open"}`},
		{keys, `{"_id": 1, "list": [{"secret": "CANARY", "x": "open"}, {"secret": {"y": "CANARY"}}]}`},
		{keys, `{"_id": 1, "list": {"secret": "CANARY", "x": "open"}}`},
	} {
		shown := redactor.Document(c.ns, raw(t, c.text)).String()
		if strings.Contains(shown, "CANARY") || !strings.Contains(shown, "open") {
			t.Errorf("%s %s is shown as %s", c.ns, c.text, shown)
		}
	}
	other := pitr.Namespace{DB: "other", Collection: "keys"}
	if shown := redactor.Document(other, raw(t, `{"list": [{"secret": "visible"}]}`)).String(); !strings.Contains(shown, "visible") {
		t.Errorf("a rule for another database hid %s", shown)
	}
	e, s := redactor.Pair(tokens, raw(t, `{"jwt": "CANARY1"}`), raw(t, `{"jwt": "CANARY2"}`))
	if e.Lookup("jwt").StringValue() == s.Lookup("jwt").StringValue() || strings.Contains(e.String()+s.String(), "CANARY") {
		t.Errorf("a changed secret is shown as %s and %s", e, s)
	}
	e, s = redactor.Pair(tokens, raw(t, `{"jwt": "CANARY"}`), raw(t, `{"jwt": "CANARY"}`))
	if e.Lookup("jwt").StringValue() != s.Lookup("jwt").StringValue() {
		t.Errorf("an unchanged secret is shown as %s and %s", e, s)
	}
	for _, bad := range []string{"", "jwt", "a..b", ".x", "x."} {
		if _, err := report.NewRedactor([]string{bad}); pitr.KindOf(err) != pitr.KindInvalid {
			t.Errorf("%q was taken as a rule", bad)
		}
	}
}
