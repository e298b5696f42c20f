package storage

import (
	"strings"

	"pitr"
)

// Limits of names: the whole name is what S3 allows, a part is what file systems allow.
const (
	maxName = 1024
	maxPart = 255
)

// CheckName reports whether a name can name an object: 1 to 1,024 bytes in parts of 1 to 255 bytes joined by slashes, each of
// ASCII letters, digits, dot, hyphen and underscore, and none beginning with a dot. Such a name cannot leave its folder, hide
// in it, or mean something else in a URL.
func CheckName(name string) error {
	if len(name) > maxName {
		return badName(name, "longer than 1,024 bytes")
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "":
			return badName(name, "empty part")
		case len(part) > maxPart:
			return badName(name, "part longer than 255 bytes")
		case part[0] == '.':
			return badName(name, "part begins with a dot")
		}
		for i := range len(part) {
			if !allowed(part[i]) {
				return badName(name, "only letters, digits, dot, hyphen and underscore are allowed")
			}
		}
	}
	return nil
}

func allowed(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_'
}

func badName(name, why string) error {
	const shown = 80
	if len(name) > shown {
		name = name[:shown]
	}
	return pitr.Errorf(pitr.KindInvalid, "", "", "bad object name %q: %s", name, why)
}
