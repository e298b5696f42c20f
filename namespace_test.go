package pitr_test

import (
	"testing"

	"pitr"
)

func TestKnownAs(t *testing.T) {
	for name, want := range map[string]string{
		"orders": "orders", "system.buckets.a.b": "a.b", "enxcol_.patients.esc": "patients", "enxcol_.a.b.ecoc": "a.b", "enxcol_.x": "enxcol_.x",
	} {
		if got := (pitr.Namespace{DB: "shop", Collection: name}).KnownAs(); got != (pitr.Namespace{DB: "shop", Collection: want}) {
			t.Errorf("%s is known as %s, want %s", name, got, want)
		}
	}
}
