package write

import (
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

func itoa(n int) string { return strconv.Itoa(n) }

// element splits the bytes of a value of a type off.
func element(content []byte, t bson.Type) (value, rest []byte, err error) {
	v, rest, ok := bsoncore.ReadValue(content, bsoncore.Type(t))
	if !ok {
		return nil, nil, strconv.ErrSyntax
	}
	return v.Data, rest, nil
}
