package value

import "go.mongodb.org/mongo-driver/v2/bson"

var typeNames = map[bson.Type]string{
	Missing: "missing", bson.TypeDouble: "double", bson.TypeString: "string", bson.TypeEmbeddedDocument: "object",
	bson.TypeArray: "array", bson.TypeBinary: "binData", bson.TypeUndefined: "undefined", bson.TypeObjectID: "objectId",
	bson.TypeBoolean: "bool", bson.TypeDateTime: "date", bson.TypeNull: "null", bson.TypeRegex: "regex",
	bson.TypeDBPointer: "dbPointer", bson.TypeJavaScript: "javascript", bson.TypeSymbol: "symbol",
	bson.TypeCodeWithScope: "javascriptWithScope", bson.TypeInt32: "int", bson.TypeTimestamp: "timestamp",
	bson.TypeInt64: "long", bson.TypeDecimal128: "decimal", bson.TypeMinKey: "minKey", bson.TypeMaxKey: "maxKey",
}

// TypeName is the server's name of a type.
func TypeName(t bson.Type) string { return typeNames[t] }

// TypeNamed finds a type by the server's name; "number" and "missing" are not types.
func TypeNamed(name string) (bson.Type, bool) {
	for t, n := range typeNames {
		if n == name && t != Missing {
			return t, true
		}
	}
	return 0, false
}

// TypeByNumber finds a type by its number as $type takes it: -1 is minKey, 127 maxKey.
func TypeByNumber(n int64) (bson.Type, bool) {
	switch {
	case n == -1:
		return bson.TypeMinKey, true
	case n <= 0 || n > 255 || n == 255:
		return 0, false
	}
	_, ok := typeNames[bson.Type(n)]
	return bson.Type(n), ok
}

// TypeSet reads the argument of $type: names or numbers of types, one or an array of them.
func TypeSet(v Value, name string) (map[bson.Type]bool, error) {
	set := map[bson.Type]bool{}
	list := []Value{v}
	if v.Type == bson.TypeArray {
		list = v.Elements()
	}
	if len(list) == 0 {
		return nil, Errorf(FailedToParse, "%s must match at least one type", name)
	}
	for _, x := range list {
		switch {
		case x.Type == bson.TypeString && x.Str() == "number":
			set[bson.TypeInt32], set[bson.TypeInt64], set[bson.TypeDouble], set[bson.TypeDecimal128] = true, true, true, true
		case x.Type == bson.TypeString:
			t, ok := TypeNamed(x.Str())
			if !ok {
				return nil, Errorf(BadValue, "Unknown type name alias: %s", x.Str())
			}
			set[t] = true
		case x.IsNumber():
			n, whole := x.Whole()
			t, ok := TypeByNumber(n)
			if !whole || !ok {
				return nil, Errorf(BadValue, "Invalid numerical type code: %s", Text(x))
			}
			set[t] = true
		default:
			return nil, Errorf(TypeMismatch, "type must be represented as a number or a string")
		}
	}
	return set, nil
}
