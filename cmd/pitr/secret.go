package main

import (
	"net/url"
	"strings"
)

// masked stands where a secret was.
const masked = "*****"

// secret is text that prints as stars, whatever prints it: fmt, JSON, YAML, slog.
type secret string

// String hides the text.
func (s secret) String() string { return masked }

// GoString hides the text from %#v.
func (s secret) GoString() string { return masked }

// MarshalText hides the text from JSON and YAML.
func (s secret) MarshalText() ([]byte, error) { return []byte(masked), nil }

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

// maskURI replaces user information by stars and keeps hosts and options, of which only harmless ones are shown.
func maskURI(uri string) string {
	scheme, rest, found := strings.Cut(uri, "://")
	if !found {
		return masked
	}
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		user, _, _ := strings.Cut(rest[:at], ":")
		if hasPassword(uri) {
			user += ":" + masked
		}
		rest = user + "@" + rest[at+1:]
	}
	base, query, hasQuery := strings.Cut(rest, "?")
	if !hasQuery {
		return scheme + "://" + base
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return scheme + "://" + base + "?" + masked
	}
	for key := range values {
		lower := strings.ToLower(key)
		if strings.Contains(lower, "password") || strings.Contains(lower, "properties") || strings.Contains(lower, "token") {
			values.Set(key, masked)
		}
	}
	return scheme + "://" + base + "?" + strings.ReplaceAll(values.Encode(), "%2A", "*")
}
