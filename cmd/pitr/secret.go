package main

import "strings"

// masked stands where a secret was.
const masked = "*****"

// secret is text that prints as stars, whatever prints it: fmt, JSON, YAML, slog.
type secret string

// String hides the text.
func (s secret) String() string { return masked }

// GoString hides the text from %#v.
func (s secret) GoString() string { return masked }

// MarshalText hides the text from JSON and YAML.
func (s secret) MarshalText() ([]byte, error) { return []byte(masked), nil } //nolint:unparam // the interface of encoding

// reveal gives the text to the one call that needs it.
func (s secret) reveal() string { return string(s) }

// hasPassword reports whether a connection string carries a password, also one that url.Parse refuses (several hosts,
// unescaped characters).
func hasPassword(uri string) bool {
	_, rest, found := strings.Cut(uri, "://")
	if !found {
		return false
	}
	// A password may hold an unescaped slash, so the last @ of the whole string decides.
	at := strings.LastIndex(rest, "@")
	return at >= 0 && strings.Contains(rest[:at], ":")
}
