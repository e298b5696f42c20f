package sheet

import (
	"crypto/sha1" //nolint:gosec // mongodump's own rule for long names; nothing is proved by it
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"pitr"
)

// fileName makes the name of a database or a collection safe as the name of a file, by mongodump's rule, so that mongorestore
// finds the name again: percent signs for everything but letters, digits, "-", "_" and ".", and a digest at the end of one
// that is too long. On top of that rule come names that mean something to a system: those of dots, and devices of Windows.
// // case X07
func fileName(name string) string {
	escaped := url.QueryEscape(name)
	if len(escaped) > maxName {
		sum := sha1.Sum([]byte(name)) //nolint:gosec // see above
		return escaped[:keptName] + "%24" + base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if strings.HasPrefix(escaped, ".") {
		escaped = "%2E" + escaped[1:]
	}
	if strings.HasSuffix(escaped, ".") {
		escaped = escaped[:len(escaped)-1] + "%2E"
	}
	first, _, _ := strings.Cut(strings.ToUpper(escaped), ".")
	if devices[first] || len(first) == 4 && (strings.HasPrefix(first, "COM") || strings.HasPrefix(first, "LPT")) && first[3] >= '0' && first[3] <= '9' {
		escaped = fmt.Sprintf("%%%02X", escaped[0]) + escaped[1:]
	}
	return escaped
}

var devices = map[string]bool{"CON": true, "PRN": true, "AUX": true, "NUL": true}

// The lengths in mongodump's rule.
const (
	maxName  = 238
	keptName = 208
)

// databaseFolder gives the name of a database as mongorestore takes it: as it is. A server has no other names than these; one
// that is no name of a folder comes from a forged repository, or cannot be dumped.
func databaseFolder(db string) (string, error) {
	plain := db != "" && len(db) <= 63 && utf8.ValidString(db) && !strings.ContainsAny(db, "/\\. \"$*<>:|?%") &&
		!strings.ContainsFunc(db, func(r rune) bool { return r < ' ' || r == 0x7F })
	if !plain {
		return "", pitr.Errorf(pitr.KindUnsupported, "name the folder of a database", "leave it out with --except, or choose --format ndjson",
			"%.80q cannot be the name of a folder of a dump", db)
	}
	return db, nil
}
