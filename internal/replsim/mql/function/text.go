package function

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/mql/value"
)

var stringFunctions = map[string]Function{
	"$concat":     many(concat),
	"$toLower":    one(func(v value.Value) (value.Value, error) { return ascii(v, 'A', 'Z') }),
	"$toUpper":    one(func(v value.Value) (value.Value, error) { return ascii(v, 'a', 'z') }),
	"$strcasecmp": two(strcasecmp),
	"$strLenBytes": one(func(v value.Value) (value.Value, error) {
		return length("$strLenBytes", 34473, v, func(s string) int { return len(s) })
	}),
	"$strLenCP":     one(func(v value.Value) (value.Value, error) { return length("$strLenCP", 34471, v, utf8.RuneCountInString) }),
	"$substr":       {Least: 3, Most: 3, Call: substrBytes},
	"$substrBytes":  {Least: 3, Most: 3, Call: substrBytes},
	"$substrCP":     {Least: 3, Most: 3, Call: substrCP},
	"$split":        two(split),
	"$trim":         {Fields: []string{"input!", "chars"}, Call: trim("$trim", strings.Trim)},
	"$ltrim":        {Fields: []string{"input!", "chars"}, Call: trim("$ltrim", strings.TrimLeft)},
	"$rtrim":        {Fields: []string{"input!", "chars"}, Call: trim("$rtrim", strings.TrimRight)},
	"$indexOfBytes": {Least: 2, Most: 4, Call: indexOfBytes},
	"$indexOfCP":    {Least: 2, Most: 4, Call: indexOfCP},
	"$replaceOne":   {Fields: []string{"input!", "find!", "replacement!"}, Call: replace("$replaceOne", 1)},
	"$replaceAll":   {Fields: []string{"input!", "find!", "replacement!"}, Call: replace("$replaceAll", -1)},
	"$regexMatch":   {Fields: []string{"input!", "regex!", "options"}, Call: regexMatch},
	"$regexFind":    {Fields: []string{"input!", "regex!", "options"}, Call: regexFind},
	"$regexFindAll": {Fields: []string{"input!", "regex!", "options"}, Call: regexFindAll},
	"$binarySize":   one(binarySize),
	"$bsonSize":     one(bsonSize),
}

func concat(args values) (value.Value, error) {
	var b strings.Builder
	for _, v := range args {
		if v.Nullish() {
			return value.Null(), nil
		}
		if v.Type != bson.TypeString {
			return v, value.Errorf(16702, "$concat only supports strings, not %s", value.TypeName(v.Type))
		}
		b.Write(v.Bytes())
	}
	return value.String(b.String()), nil
}

// coerce makes text of what the older string operators accept; null is "".
func coerce(v value.Value) (string, error) {
	switch v.Type {
	case value.Missing, bson.TypeNull, bson.TypeUndefined:
		return "", nil
	case bson.TypeString, bson.TypeSymbol, bson.TypeJavaScript:
		return v.Str(), nil
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble, bson.TypeDecimal128, bson.TypeDateTime:
		s, err := Convert(v, bson.TypeString)
		return s.Str(), err
	}
	return "", value.Errorf(16007, "can't convert from BSON type %s to String", value.TypeName(v.Type))
}

func ascii(v value.Value, low, high byte) (value.Value, error) {
	s, err := coerce(v)
	b := []byte(s)
	for i, c := range b {
		if c >= low && c <= high {
			b[i] = c ^ 0x20
		}
	}
	return value.String(string(b)), err
}

func strcasecmp(a, b value.Value) (value.Value, error) {
	x, err := coerce(a)
	if err != nil {
		return a, err
	}
	y, err := coerce(b)
	return value.Int32(int32(strings.Compare(strings.ToUpper(x), strings.ToUpper(y)))), err
}

func length(name string, code int32, v value.Value, f func(string) int) (value.Value, error) {
	if v.Type != bson.TypeString {
		return v, value.Errorf(code, "%s requires a string argument, found: %s", name, value.TypeName(v.Type))
	}
	return value.Int32(int32(f(v.Str()))), nil
}

func substrBytes(args values) (value.Value, error) {
	s, err := coerce(args[0])
	if err != nil {
		return args[0], err
	}
	for i := 1; i < 3; i++ {
		if !args[i].IsNumber() {
			return args[i], value.Errorf(int32(16033+i), "$substrBytes: starting index and length must be numbers, found: %s", value.TypeName(args[i].Type))
		}
	}
	from, n := args[1].Truncated(), args[2].Truncated()
	if from < 0 {
		return args[1], value.Errorf(50752, "$substrBytes: starting index must be non-negative (got: %d)", from)
	}
	if from >= int64(len(s)) {
		return value.String(""), nil
	}
	s = s[from:]
	if n >= 0 && n < int64(len(s)) {
		if !utf8.RuneStart(s[n]) {
			return args[0], value.Errorf(28657, "$substrBytes:  Invalid range, ending index is in the middle of a UTF-8 character.")
		}
		s = s[:n]
	}
	if s != "" && !utf8.RuneStart(s[0]) {
		return args[0], value.Errorf(28656, "$substrBytes:  Invalid range, starting index is a UTF-8 continuation byte.")
	}
	return value.String(s), nil
}

func substrCP(args values) (value.Value, error) {
	s, err := coerce(args[0])
	if err != nil {
		return args[0], err
	}
	var n [2]int64
	for i := range n {
		var whole bool
		if n[i], whole = args[i+1].Whole(); !whole {
			return args[i+1], value.Errorf(int32(34450+2*i), "$substrCP: starting index and length must be whole numbers, found: %s", value.Text(args[i+1]))
		}
		if n[i] < 0 {
			return args[i+1], value.Errorf(int32(34455-i), "$substrCP: starting index and length must be non-negative integers.")
		}
	}
	r := []rune(s)
	from := min(n[0], int64(len(r)))
	return value.String(string(r[from:min(from+min(n[1], int64(len(r))), int64(len(r)))])), nil
}

func split(a, sep value.Value) (value.Value, error) {
	switch {
	case a.Nullish() || sep.Nullish():
		return value.Null(), nil
	case a.Type != bson.TypeString:
		return a, value.Errorf(40085, "$split requires an expression that evaluates to a string as a first argument, found: %s", value.TypeName(a.Type))
	case sep.Type != bson.TypeString:
		return a, value.Errorf(40086, "$split requires an expression that evaluates to a string as a second argument, found: %s", value.TypeName(sep.Type))
	case sep.Str() == "":
		return a, value.Errorf(40087, "$split requires a non-empty separator")
	}
	var out values
	for _, s := range strings.Split(a.Str(), sep.Str()) {
		out = append(out, value.String(s))
	}
	return value.Array(out...), nil
}

// trimSpace is what $trim removes when no characters are given.
const trimSpace = "\x00 \t\n\v\f\r\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"

func trim(name string, cut func(s, chars string) string) func(values) (value.Value, error) {
	return func(args values) (value.Value, error) {
		if args[0].Nullish() {
			return value.Null(), nil
		}
		if args[0].Type != bson.TypeString {
			return args[0], value.Errorf(50699, "%s requires its input to be a string, got %s (of type %s) instead.",
				name, value.Text(args[0]), value.TypeName(args[0].Type))
		}
		chars := trimSpace
		if args[1].Exists() {
			if args[1].Nullish() {
				return value.Null(), nil
			}
			if args[1].Type != bson.TypeString {
				return args[1], value.Errorf(50700, " %s requires 'chars' to be a string, got %s (of type %s) instead.",
					name, value.Text(args[1]), value.TypeName(args[1].Type))
			}
			chars = args[1].Str()
		}
		return value.String(cut(args[0].Str(), chars)), nil
	}
}

func searched(name string, args values) (s, find string, from, to int64, null bool, err error) {
	if args[0].Nullish() {
		return "", "", 0, 0, true, nil
	}
	for i := range 2 {
		if args[i].Type != bson.TypeString {
			err = value.Errorf(int32(40091+i), "%s requires a string as the %s argument, found: %s",
				name, [2]string{"first", "second"}[i], value.TypeName(args[i].Type))
			return "", "", 0, 0, false, err
		}
	}
	from, to, err = searchRange(name, args[2:])
	return args[0].Str(), args[1].Str(), from, to, false, err
}

func indexOfBytes(args values) (value.Value, error) {
	s, find, from, to, null, err := searched("$indexOfBytes", args)
	if null || err != nil {
		return value.Null(), err
	}
	if to = min(to, int64(len(s))); from > to {
		return value.Int32(-1), nil
	}
	i := strings.Index(s[from:to], find)
	if i >= 0 {
		i += int(from)
	}
	return value.Int32(int32(i)), nil
}

func indexOfCP(args values) (value.Value, error) {
	s, find, from, to, null, err := searched("$indexOfCP", args)
	if null || err != nil {
		return value.Null(), err
	}
	r := []rune(s)
	if to = min(to, int64(len(r))); from > to {
		return value.Int32(-1), nil
	}
	part := string(r[from:to])
	i := strings.Index(part, find)
	if i >= 0 {
		i = utf8.RuneCountInString(part[:i]) + int(from)
	}
	return value.Int32(int32(i)), nil
}

func replace(name string, n int) func(values) (value.Value, error) {
	return func(args values) (value.Value, error) {
		null := false
		for i, a := range args {
			null = null || a.Nullish()
			if !a.Nullish() && a.Type != bson.TypeString {
				return a, value.Errorf(51744+[3]int32{2, 1, 0}[i], "%s requires that '%s' be a string, found: %s",
					name, [3]string{"input", "find", "replacement"}[i], value.Text(a))
			}
		}
		if null {
			return value.Null(), nil
		}
		return value.String(strings.Replace(args[0].Str(), args[1].Str(), args[2].Str(), n)), nil
	}
}

// pattern gives text and compiled expression; a nil expression stands for a null argument.
func pattern(args values) (string, *regexp.Regexp, error) {
	if args[0].Nullish() || args[1].Nullish() {
		return "", nil, nil
	}
	if args[0].Type != bson.TypeString {
		return "", nil, value.Errorf(51104, "input must be of type string")
	}
	p, flags := args[1].Regex()
	if args[1].Type == bson.TypeString {
		p = args[1].Str()
	}
	if args[2].Type == bson.TypeString {
		flags = args[2].Str()
	}
	if flags != "" {
		p = "(?" + flags + ")" + p
	}
	re, err := regexp.Compile(p)
	if err != nil {
		return "", nil, value.Errorf(51111, "Invalid Regex: %v", err)
	}
	return args[0].Str(), re, nil
}

func regexMatch(args values) (value.Value, error) {
	s, re, err := pattern(args)
	return value.Bool(re != nil && re.MatchString(s)), err
}

func occurrence(s string, at []int) value.Value {
	captures := make(values, 0, len(at)/2)
	for i := 2; i < len(at); i += 2 {
		v := value.Null()
		if at[i] >= 0 {
			v = value.String(s[at[i]:at[i+1]])
		}
		captures = append(captures, v)
	}
	b, start := value.Begin(nil)
	b = value.Append(b, "match", value.String(s[at[0]:at[1]]))
	b = value.Append(b, "idx", value.Int32(int32(utf8.RuneCountInString(s[:at[0]]))))
	b = value.Append(b, "captures", value.Array(captures...))
	return value.Doc(value.End(b, start))
}

func regexFind(args values) (value.Value, error) {
	s, re, err := pattern(args)
	if re == nil {
		return value.Null(), err
	}
	at := re.FindStringSubmatchIndex(s)
	if at == nil {
		return value.Null(), nil
	}
	return occurrence(s, at), nil
}

func regexFindAll(args values) (value.Value, error) {
	s, re, err := pattern(args)
	var out values
	if re != nil {
		for _, at := range re.FindAllStringSubmatchIndex(s, -1) {
			out = append(out, occurrence(s, at))
		}
	}
	return value.Array(out...), err
}

func binarySize(v value.Value) (value.Value, error) {
	switch v.Type {
	case value.Missing, bson.TypeNull, bson.TypeUndefined:
		return value.Null(), nil
	case bson.TypeString:
		return value.Int32(int32(len(v.Bytes()))), nil
	case bson.TypeBinary:
		_, data := v.Binary()
		return value.Int32(int32(len(data))), nil
	}
	return v, value.Errorf(51276, "$binarySize requires a string or BinData argument, found: %s", value.TypeName(v.Type))
}

func bsonSize(v value.Value) (value.Value, error) {
	switch {
	case v.Nullish():
		return value.Null(), nil
	case v.Type != bson.TypeEmbeddedDocument:
		return v, value.Errorf(31393, "$bsonSize requires a document input, found: %s", value.TypeName(v.Type))
	}
	return value.Int32(int32(len(v.Data))), nil
}
