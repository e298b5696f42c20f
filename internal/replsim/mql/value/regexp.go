package value

import (
	"regexp"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Regexp is a compiled regular expression of a query. Its syntax is Go's: look-around and back references are refused.
type Regexp struct {
	pattern, flags string
	re             *regexp.Regexp
}

// CompileRegexp reads pattern and flags as $regex and $options have them.
func CompileRegexp(pattern, flags string) (Regexp, error) {
	goFlags := ""
	for _, f := range flags {
		switch f {
		case 'i', 's', 'm':
			if !strings.ContainsRune(goFlags, f) {
				goFlags += string(f)
			}
		case 'x':
			pattern = withoutSpace(pattern)
		case 'u':
		default:
			return Regexp{}, Errorf(51108, "invalid flag in regex options: %c", f)
		}
	}
	text := pattern
	if goFlags != "" {
		text = "(?" + goFlags + ")" + pattern
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return Regexp{}, Errorf(51091, "Regular expression is invalid: %v", err)
	}
	return Regexp{pattern: pattern, flags: flags, re: re}, nil
}

// withoutSpace removes what the x flag makes meaningless: white space and comments outside of classes.
func withoutSpace(pattern string) string {
	var b strings.Builder
	class := false
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case c == '\\' && i+1 < len(pattern):
			b.WriteByte(c)
			i++
			c = pattern[i]
		case c == '[':
			class = true
		case c == ']':
			class = false
		case !class && c == '#':
			for i < len(pattern) && pattern[i] != '\n' {
				i++
			}
			continue
		case !class && strings.IndexByte(" \t\r\n\f\v", c) >= 0:
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// Match says whether a string contains the pattern; a regular expression matches if it is the same.
func (x Regexp) Match(v Value) bool {
	switch v.Type {
	case bson.TypeString, bson.TypeSymbol:
		return x.re.Match(v.Bytes())
	case bson.TypeRegex:
		p, f := v.Regex()
		return p == x.pattern && f == x.flags
	}
	return false
}
