package cluster

import (
	"errors"
	"net/url"
	"slices"
	"strings"
)

// masked stands where a secret was.
const masked = "***"

// MaskURI gives a connection string that can be shown: what stands between the user name and the last @ of the
// authority is masked, and so are the option values that carry secrets. It never fails, also not on what is no URI.
func MaskURI(uri string) string {
	scheme, rest, found := strings.Cut(uri, "://")
	if !found {
		scheme, rest = "", uri
	}
	authority, options, _ := strings.Cut(rest, "?")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, _, hasPassword := strings.Cut(authority[:at], ":")
		if hasPassword {
			user += ":" + masked
		}
		authority = user + authority[at:]
	} else if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		// A question mark inside an unescaped password: nothing before the @ can be told apart, so nothing is shown.
		authority, options = masked+rest[at:], ""
	} else if name, port, ok := strings.Cut(authority, ":"); ok && !isHosts(port) {
		// A URI that was cut off behind the password looks like a host with a strange port.
		authority = name + ":" + masked
	}
	text := authority
	if options != "" {
		text += "?" + maskOptions(options)
	}
	if found {
		text = scheme + "://" + text
	}
	return text
}

// isHosts reports whether the text behind the first colon of a list of hosts can be one: a port, more hosts, a database.
func isHosts(text string) bool {
	port := text
	if end := strings.IndexAny(text, ",/"); end >= 0 {
		port = text[:end]
	}
	return strings.Trim(port, "0123456789") == "" || strings.Contains(text, "]")
}

// shownOptions are the options whose values are no secrets in any server or driver version; all others are masked.
var shownOptions = []string{
	"appname", "authmechanism", "authsource", "compressors", "connecttimeoutms", "directconnection", "heartbeatfrequencyms", "journal",
	"loadbalanced", "localthresholdms", "maxidletimems", "maxpoolsize", "minpoolsize", "readconcernlevel",
	"readpreference", "replicaset", "retryreads", "retrywrites", "serverselectiontimeoutms", "ssl", "timeoutms", "tls",
	"tlscafile", "tlsinsecure", "w", "wtimeoutms",
}

func maskOptions(options string) string {
	parts := strings.Split(options, "&")
	for i, part := range parts {
		name, value, found := strings.Cut(part, "=")
		if found && value != "" && !slices.Contains(shownOptions, strings.ToLower(name)) {
			parts[i] = name + "=" + masked
		}
	}
	return strings.Join(parts, "&")
}

// secrets are the texts of one connection that must not be shown: what errors of the driver and the server may quote.
type secrets []string

// secretsOf collects the whole URI and its password, as written and unescaped. Texts too short to be told from ordinary
// words are left out, except the URI.
func secretsOf(uri string) secrets {
	var found secrets
	_, rest, _ := strings.Cut(uri, "://")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if _, password, ok := strings.Cut(rest[:at], ":"); ok {
			found = append(found, password)
			if plain, err := url.PathUnescape(password); err == nil {
				found = append(found, plain)
			}
		}
	}
	authority, options, _ := strings.Cut(rest, "?")
	if _, port, ok := strings.Cut(authority, ":"); ok && !strings.Contains(rest, "@") && !isHosts(port) {
		found = append(found, port)
	}
	for _, part := range strings.Split(options, "&") {
		name, value, ok := strings.Cut(part, "=")
		if ok && value != "" && !slices.Contains(shownOptions, strings.ToLower(name)) {
			found = append(found, value)
		}
	}
	found = slices.DeleteFunc(found, func(s string) bool { return s == "" })
	slices.SortFunc(found, func(a, b string) int { return len(b) - len(a) })
	return found
}

// mask takes the secrets of a connection out of a text.
func (s secrets) mask(text string) string {
	for _, secret := range s {
		text = strings.ReplaceAll(text, secret, masked)
	}
	return text
}

// error gives an error that says the same without secrets. The original is left behind: its parts may quote them too.
func (s secrets) error(err error) error {
	return errors.New(s.mask(err.Error()))
}
