package mql

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

// schema compiles $jsonSchema.
func (c *compiler) schema(v value.Value) (node, error) {
	if v.Type != bson.TypeEmbeddedDocument {
		return nil, value.Errorf(value.TypeMismatch, "$jsonSchema must be an object")
	}
	return nil, unsimulated("$jsonSchema")
}
