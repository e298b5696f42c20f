package update

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/delta"
	"pitr/internal/replsim/mql/value"
)

// Replay applies the payload of an update entry, as applyOps does: {$v: 2, diff} or a replacement. A payload that changes nothing
// gives back equal bytes.
func Replay(before, o bson.Raw) (bson.Raw, error) {
	if value.Field(o, "_id").Exists() {
		after, _, err := replaced(before, o, dollarAllowed)
		return after, err
	}
	version, _ := value.Field(o, "$v").Whole()
	diff := value.Field(o, "diff")
	if version != 2 || diff.Type != bson.TypeEmbeddedDocument {
		return nil, value.Errorf(4772600, "Expected _id field or $v:2, but got: %s", value.ElementText("$v", value.Field(o, "$v")))
	}
	content, err := delta.Apply(before, bson.Raw(diff.Data))
	if err != nil {
		return nil, err
	}
	after, _, err := replaced(before, content, dollarAllowed)
	return after, err
}
