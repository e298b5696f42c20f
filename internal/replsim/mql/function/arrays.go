package function

import (
	"math"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

var arrays = map[string]Function{
	"$isArray": one(func(v value.Value) (value.Value, error) { return value.Bool(v.Type == bson.TypeArray), nil }),
	"$size": one(func(v value.Value) (value.Value, error) {
		if v.Type != bson.TypeArray {
			return v, value.Errorf(17124, "The argument to $size must be an array, but was of type: %s", value.TypeName(v.Type))
		}
		return value.Int32(int32(v.Len())), nil
	}),
	"$arrayElemAt":     two(arrayElemAt),
	"$first":           one(func(v value.Value) (value.Value, error) { return end("$first", v, 0) }),
	"$last":            one(func(v value.Value) (value.Value, error) { return end("$last", v, -1) }),
	"$concatArrays":    many(concatArrays),
	"$slice":           {Least: 2, Most: 3, Call: slice},
	"$in":              two(in),
	"$indexOfArray":    {Least: 2, Most: 4, Call: indexOfArray},
	"$reverseArray":    one(reverseArray),
	"$range":           {Least: 2, Most: 3, Call: numberRange},
	"$arrayToObject":   one(arrayToObject),
	"$objectToArray":   one(objectToArray),
	"$mergeObjects":    many(mergeObjects),
	"$setField":        {Fields: []string{"field!", "input!", "value!"}, Call: setField},
	"$unsetField":      {Fields: []string{"field!", "input!"}, Call: setField},
	"$sortArray":       {Fields: []string{"input!", "sortBy!"}, Call: sortArray},
	"$firstN":          {Fields: []string{"n!", "input!"}, Call: firstN},
	"$lastN":           {Fields: []string{"n!", "input!"}, Call: lastN},
	"$minN":            {Fields: []string{"n!", "input!"}, Call: extremeN(1)},
	"$maxN":            {Fields: []string{"n!", "input!"}, Call: extremeN(-1)},
	"$zip":             {Fields: []string{"inputs!", "useLongestLength", "defaults"}, Call: zip},
	"$setUnion":        many(setUnion),
	"$setIntersection": many(setIntersection),
	"$setDifference":   two(setDifference),
	"$setEquals":       {Least: 2, Most: -1, Call: setEquals},
	"$setIsSubset":     two(setIsSubset),
	"$anyElementTrue":  one(func(v value.Value) (value.Value, error) { return truthOf("$anyElementTrue", v, true) }),
	"$allElementsTrue": one(func(v value.Value) (value.Value, error) { return truthOf("$allElementsTrue", v, false) }),
}

func arrayElemAt(a, i value.Value) (value.Value, error) {
	switch {
	case a.Nullish() || i.Nullish():
		return value.Null(), nil
	case a.Type != bson.TypeArray:
		return a, value.Errorf(28689, "$arrayElemAt's first argument must be an array, but is %s", value.TypeName(a.Type))
	case !i.IsNumber():
		return a, value.Errorf(28690, "$arrayElemAt's second argument must be a numeric value, but is %s", value.TypeName(i.Type))
	}
	n, whole := i.Whole()
	if !whole || n != int64(int32(n)) {
		return a, value.Errorf(28691, "$arrayElemAt's second argument must be representable as a 32-bit integer: %s", value.Text(i))
	}
	return element(a, int(n)), nil
}

// element counts from the end if n is negative; missing if out of range.
func element(a value.Value, n int) value.Value {
	if n < 0 {
		if n += a.Len(); n < 0 {
			return value.Value{}
		}
	}
	for it := value.Iterate(bson.Raw(a.Data)); it.Next(); n-- {
		if n == 0 {
			return it.Value()
		}
	}
	return value.Value{}
}

func end(name string, a value.Value, n int) (value.Value, error) {
	if a.Nullish() {
		return value.Null(), nil
	}
	if a.Type != bson.TypeArray {
		return a, value.Errorf(28689, "%s's argument must be an array, but is %s", name, value.TypeName(a.Type))
	}
	return element(a, n), nil
}

func concatArrays(args values) (value.Value, error) {
	var out values
	for _, a := range args {
		if a.Nullish() {
			return value.Null(), nil
		}
		if a.Type != bson.TypeArray {
			return a, value.Errorf(28664, "$concatArrays only supports arrays, not %s", value.TypeName(a.Type))
		}
		out = append(out, a.Elements()...)
	}
	return value.Array(out...), nil
}

func slice(args values) (value.Value, error) {
	for _, a := range args {
		if a.Nullish() {
			return value.Null(), nil
		}
	}
	if args[0].Type != bson.TypeArray {
		return args[0], value.Errorf(28724, "First argument to $slice must be an array, but is of type: %s", value.TypeName(args[0].Type))
	}
	for i, a := range args[1:] {
		place := [2]string{"Second", "Third"}[i]
		if !a.IsNumber() {
			return a, value.Errorf(int32(28725+2*i), "%s argument to $slice must be a numeric value, but is of type: %s", place, value.TypeName(a.Type))
		}
		if n, whole := a.Whole(); !whole || n != int64(int32(n)) {
			return a, value.Errorf(int32(28726+2*i), "%s argument to $slice can't be represented as a 32-bit integer: %s", place, value.Text(a))
		}
	}
	list, n := args[0].Elements(), int(args[1].Truncated())
	if len(args) == 2 {
		if n >= 0 {
			return value.Array(list[:min(n, len(list))]...), nil
		}
		return value.Array(list[max(0, len(list)+n):]...), nil
	}
	count := int(args[2].Truncated())
	if count <= 0 {
		return args[2], value.Errorf(28729, "Third argument to $slice must be positive: %s", value.Text(args[2]))
	}
	from := min(n, len(list))
	if n < 0 {
		from = max(0, len(list)+n)
	}
	return value.Array(list[from:min(from+count, len(list))]...), nil
}

func in(v, a value.Value) (value.Value, error) {
	if a.Type != bson.TypeArray {
		return a, value.Errorf(40081, "$in requires an array as a second argument, found: %s", value.TypeName(a.Type))
	}
	return value.Bool(contains(a.Elements(), v)), nil
}

func contains(list values, v value.Value) bool {
	return slices.ContainsFunc(list, func(x value.Value) bool { return value.Equal(x, v) })
}

func indexOfArray(args values) (value.Value, error) {
	if args[0].Nullish() {
		return value.Null(), nil
	}
	if args[0].Type != bson.TypeArray {
		return args[0], value.Errorf(40090, "$indexOfArray requires an array as a first argument, found: %s", value.TypeName(args[0].Type))
	}
	from, to, err := searchRange("$indexOfArray", args[2:])
	if err != nil {
		return args[0], err
	}
	for i, v := range args[0].Elements() {
		if int64(i) >= from && int64(i) < to && value.Equal(v, args[1]) {
			return value.Int32(int32(i)), nil
		}
	}
	return value.Int32(-1), nil
}

func searchRange(name string, args values) (from, to int64, err error) {
	from, to = 0, math.MaxInt64
	for i, a := range args {
		n, whole := a.Whole()
		if !whole {
			return 0, 0, value.Errorf(40096, "%s requires an integral starting and ending index, found a value of type: %s", name, value.TypeName(a.Type))
		}
		if n < 0 {
			return 0, 0, value.Errorf(40097, "%s requires a nonnegative starting and ending index, found: %d", name, n)
		}
		if i == 0 {
			from = n
		} else {
			to = n
		}
	}
	return from, to, nil
}

func reverseArray(a value.Value) (value.Value, error) {
	if a.Nullish() {
		return value.Null(), nil
	}
	if a.Type != bson.TypeArray {
		return a, value.Errorf(34435, "The argument to $reverseArray must be an array, but was of type: %s", value.TypeName(a.Type))
	}
	list := a.Elements()
	slices.Reverse(list)
	return value.Array(list...), nil
}

func numberRange(args values) (value.Value, error) {
	step := int64(1)
	var n [3]int64
	for i, a := range args {
		var whole bool
		if n[i], whole = a.Whole(); !whole || n[i] != int64(int32(n[i])) {
			return a, value.Errorf(int32(34443+2*i), "$range requires a numeric starting value, ending value and step, "+
				"each representable as a 32-bit integer, found: %s", value.Text(a))
		}
	}
	if len(args) == 3 {
		if step = n[2]; step == 0 {
			return args[2], value.Errorf(34449, "$range requires a non-zero step value")
		}
	}
	if size := (n[1] - n[0]) / step; size > 4<<20 {
		return args[0], value.Errorf(146, "$range would use too much memory and cannot be spilled to disk")
	}
	var out values
	for i := n[0]; step > 0 && i < n[1] || step < 0 && i > n[1]; i += step {
		out = append(out, value.Int32(int32(i)))
	}
	return value.Array(out...), nil
}

// fieldList is a document under construction in which a name is set at its first place.
type fieldList struct {
	names  []string
	values values
}

func (f *fieldList) set(name string, v value.Value) {
	for i, n := range f.names {
		if n == name {
			f.values[i] = v
			return
		}
	}
	f.names, f.values = append(f.names, name), append(f.values, v)
}

func (f *fieldList) document() value.Value {
	b, at := value.Begin(nil)
	for i, n := range f.names {
		b = value.Append(b, n, f.values[i])
	}
	return value.Doc(value.End(b, at))
}

func arrayToObject(a value.Value) (value.Value, error) {
	if a.Nullish() {
		return value.Null(), nil
	}
	if a.Type != bson.TypeArray {
		return a, value.Errorf(40386, "$arrayToObject requires an array input, found: %s", value.TypeName(a.Type))
	}
	var out fieldList
	for _, e := range a.Elements() {
		var k, v value.Value
		switch e.Type {
		case bson.TypeArray:
			pair := e.Elements()
			if len(pair) != 2 {
				return a, value.Errorf(40397, "$arrayToObject requires an array of size 2 arrays,found array of size: %d", len(pair))
			}
			k, v = pair[0], pair[1]
		case bson.TypeEmbeddedDocument:
			k, v = value.Field(bson.Raw(e.Data), "k"), value.Field(bson.Raw(e.Data), "v")
			if e.Len() != 2 || !k.Exists() || !v.Exists() {
				return a, value.Errorf(40392, "$arrayToObject requires an object keys of 'k' and 'v'. Found incorrect number of keys:%d", e.Len())
			}
		default:
			return a, value.Errorf(40398, "Unrecognised input type format for $arrayToObject: %s", value.TypeName(e.Type))
		}
		if k.Type != bson.TypeString {
			return a, value.Errorf(40394, "$arrayToObject requires an object with keys 'k' and 'v', where the value of 'k' must be of type string. "+
				"Found type: %s", value.TypeName(k.Type))
		}
		if strings.ContainsRune(k.Str(), 0) {
			return a, value.Errorf(4940401, "Key field cannot contain an embedded null byte")
		}
		out.set(k.Str(), v)
	}
	return out.document(), nil
}

func objectToArray(o value.Value) (value.Value, error) {
	if o.Nullish() {
		return value.Null(), nil
	}
	if o.Type != bson.TypeEmbeddedDocument {
		return o, value.Errorf(40390, "$objectToArray requires a document input, found: %s", value.TypeName(o.Type))
	}
	var out values
	for it := value.Iterate(bson.Raw(o.Data)); it.Next(); {
		b, at := value.Begin(nil)
		b = value.Append(value.Append(b, "k", value.String(string(it.Key()))), "v", it.Value())
		out = append(out, value.Doc(value.End(b, at)))
	}
	return value.Array(out...), nil
}

func mergeObjects(args values) (value.Value, error) {
	if len(args) == 1 && args[0].Type == bson.TypeArray {
		args = args[0].Elements()
	}
	var out fieldList
	for _, o := range args {
		if o.Nullish() {
			continue
		}
		if o.Type != bson.TypeEmbeddedDocument {
			return o, value.Errorf(40400, "$mergeObjects requires object inputs, but input %s is of type %s", value.Text(o), value.TypeName(o.Type))
		}
		for it := value.Iterate(bson.Raw(o.Data)); it.Next(); {
			out.set(string(it.Key()), it.Value())
		}
	}
	return out.document(), nil
}

// GetField is $getField of a name and a document.
func GetField(args values) (value.Value, error) {
	if args[0].Type != bson.TypeString {
		return args[0], value.Errorf(3041704, "$getField requires 'field' to evaluate to type String, but got %s", value.TypeName(args[0].Type))
	}
	switch {
	case args[1].Nullish() && args[1].Exists():
		return value.Null(), nil
	case args[1].Type != bson.TypeEmbeddedDocument:
		return value.Value{}, nil
	}
	return value.Field(bson.Raw(args[1].Data), args[0].Str()), nil
}

// setField sets one field, or removes it if the value is missing or not given.
func setField(args values) (value.Value, error) {
	field, in := args[0], args[1]
	if field.Type != bson.TypeString {
		return field, value.Errorf(4161107, "$setField requires 'field' to evaluate to type String, but got %s", value.TypeName(field.Type))
	}
	if strings.ContainsRune(field.Str(), 0) {
		return field, value.Errorf(16411, "FieldPath field names may not contain null bytes.")
	}
	if in.Nullish() {
		return value.Null(), nil
	}
	if in.Type != bson.TypeEmbeddedDocument {
		return in, value.Errorf(4161105, "$setField requires 'input' to evaluate to type Object")
	}
	var v value.Value
	if len(args) == 3 {
		v = args[2]
	}
	b, at := value.Begin(nil)
	name, done := field.Str(), false
	for it := value.Iterate(bson.Raw(in.Data)); it.Next(); {
		if string(it.Key()) == name {
			b, done = value.Append(b, name, v), true
			continue
		}
		b = append(b, it.Element()...)
	}
	if !done {
		b = value.Append(b, name, v)
	}
	return value.Doc(value.End(b, at)), nil
}

func sortArray(args values) (value.Value, error) {
	in, by := args[0], args[1]
	if in.Nullish() {
		return value.Null(), nil
	}
	if in.Type != bson.TypeArray {
		return in, value.Errorf(2942504, "The input argument to $sortArray must be an array, but was of type: %s", value.TypeName(in.Type))
	}
	list := in.Elements()
	if n, ok := by.Whole(); ok {
		slices.SortStableFunc(list, func(a, b value.Value) int { return value.Compare(a, b) * int(n) })
		return value.Array(list...), nil
	}
	if by.Type != bson.TypeEmbeddedDocument {
		return by, value.Errorf(2942507, "sortBy must be 1, -1 or an object")
	}
	slices.SortStableFunc(list, func(a, b value.Value) int {
		for it := value.Iterate(bson.Raw(by.Data)); it.Next(); {
			path := strings.Split(string(it.Key()), ".")
			if c := value.Compare(orNull(Walk(a, path)), orNull(Walk(b, path))); c != 0 {
				return c * int(it.Value().Truncated())
			}
		}
		return 0
	})
	return value.Array(list...), nil
}

func orNull(v value.Value) value.Value {
	if !v.Exists() {
		return value.Null()
	}
	return v
}

func counted(args values) (n int, list values, err error) {
	count, whole := args[0].Whole()
	if !whole || count < 1 {
		return 0, nil, value.Errorf(5787908, "'n' must be greater than 0, found %s", value.Text(args[0]))
	}
	if args[1].Type != bson.TypeArray {
		return 0, nil, value.Errorf(5788200, "Input must be an array")
	}
	list = args[1].Elements()
	return int(min(count, int64(len(list)))), list, nil
}

func firstN(args values) (value.Value, error) {
	n, list, err := counted(args)
	return value.Array(list[:n]...), err
}

func lastN(args values) (value.Value, error) {
	n, list, err := counted(args)
	return value.Array(list[len(list)-n:]...), err
}

func extremeN(sign int) func(values) (value.Value, error) {
	return func(args values) (value.Value, error) {
		_, list, err := counted(args)
		if err != nil {
			return args[0], err
		}
		list = slices.DeleteFunc(list, value.Value.Nullish)
		slices.SortStableFunc(list, func(a, b value.Value) int { return value.Compare(a, b) * sign })
		return value.Array(list[:min(args[0].Truncated(), int64(len(list)))]...), nil
	}
}

func zip(args values) (value.Value, error) {
	if args[0].Nullish() {
		return value.Null(), nil
	}
	var lists []values
	length, longest := -1, args[1].Truth()
	for _, a := range args[0].Elements() {
		if a.Nullish() {
			return value.Null(), nil
		}
		if a.Type != bson.TypeArray {
			return a, value.Errorf(34468, "$zip found a non-array expression in input: %s", value.Text(a))
		}
		l := a.Elements()
		lists = append(lists, l)
		if length < 0 || (len(l) > length) == longest {
			length = len(l)
		}
	}
	defaults := args[2].Elements()
	var out values
	for i := range max(length, 0) {
		row := make(values, len(lists))
		for j, l := range lists {
			switch {
			case i < len(l):
				row[j] = l[i]
			case j < len(defaults):
				row[j] = defaults[j]
			}
		}
		out = append(out, value.Array(row...))
	}
	return value.Array(out...), nil
}

// Walk follows names into a value: through documents to one value, through arrays of documents to an array of what is there.
func Walk(v value.Value, parts []string) value.Value {
	for i, p := range parts {
		switch v.Type {
		case bson.TypeEmbeddedDocument:
			v = value.Field(bson.Raw(v.Data), p)
		case bson.TypeArray:
			var out values
			for it := value.Iterate(bson.Raw(v.Data)); it.Next(); {
				if e := it.Value(); e.Type == bson.TypeEmbeddedDocument {
					if x := Walk(e, parts[i:]); x.Exists() {
						out = append(out, x)
					}
				}
			}
			return value.Array(out...)
		default:
			return value.Value{}
		}
	}
	return v
}
