package pitr

import (
	"fmt"
	"slices"
	"strings"
)

// Namespace names a collection within a cluster.
type Namespace struct {
	DB         string
	Collection string
}

// ParseNamespace splits at the first dot: collection names may hold dots, database names may not.
func ParseNamespace(text string) (Namespace, error) {
	db, collection, found := strings.Cut(text, ".")
	if !found || db == "" || collection == "" {
		return Namespace{}, fmt.Errorf("%q is not a namespace such as shop.orders", text)
	}
	return Namespace{DB: db, Collection: collection}, nil
}

// String gives "db.collection".
func (n Namespace) String() string { return n.DB + "." + n.Collection }

// IsZero reports whether nothing is named.
func (n Namespace) IsZero() bool { return n == Namespace{} }

// Compare orders by database, then by collection.
func (n Namespace) Compare(other Namespace) int {
	if c := strings.Compare(n.DB, other.DB); c != 0 {
		return c
	}
	return strings.Compare(n.Collection, other.Collection)
}

// MarshalText gives the dotted form.
func (n Namespace) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads the dotted form.
func (n *Namespace) UnmarshalText(text []byte) (err error) {
	*n, err = ParseNamespace(string(text))
	return err
}

// IsSystem reports whether the namespace belongs to the server itself: pitr neither copies nor writes it.
// The rule is section 7 of the oplog facts: admin, config and local, internal databases of hosted services, and
// collections whose name begins with "system." except the two that hold user data (system.js, system.buckets.*).
func (n Namespace) IsSystem() bool {
	switch {
	case n.DB == "admin", n.DB == "config", n.DB == "local", strings.HasPrefix(n.DB, "__mdb_internal"):
		return true
	case n.Collection == "system.js", strings.HasPrefix(n.Collection, "system.buckets."):
		return false
	}
	return strings.HasPrefix(n.Collection, "system.")
}

// KnownAs gives the name under which people know the documents of a collection: that of the time-series collection for its
// buckets, that of the encrypted collection for its side collections (enxcol_.<name>.esc). A scope chooses by this name.
func (n Namespace) KnownAs() Namespace {
	if name, found := strings.CutPrefix(n.Collection, "system.buckets."); found {
		return Namespace{DB: n.DB, Collection: name}
	}
	if name, found := strings.CutPrefix(n.Collection, "enxcol_."); found {
		if dot := strings.LastIndexByte(name, '.'); dot > 0 {
			return Namespace{DB: n.DB, Collection: name[:dot]}
		}
	}
	return n
}

// Scope chooses namespaces. The zero value is everything that belongs to users; system namespaces are never in a scope.
// An element is a whole namespace ("shop.orders") or a whole database ("shop").
type Scope struct {
	Only   []string `json:"only,omitempty"`
	Except []string `json:"except,omitempty"`
}

// NewScope checks the elements: a system namespace or database is refused by name, duplicates are dropped, order is kept sorted.
func NewScope(only, except []string) (Scope, error) {
	scope := Scope{Only: tidy(only), Except: tidy(except)}
	for _, element := range slices.Concat(scope.Only, scope.Except) {
		db, collection, _ := strings.Cut(element, ".")
		if db == "" || (Namespace{DB: db, Collection: collection}).IsSystem() {
			return Scope{}, Refusef("choose namespaces",
				"name a database or db.collection that belongs to users", "%q cannot be chosen", element)
		}
	}
	return scope, nil
}

func tidy(elements []string) []string {
	if len(elements) == 0 {
		return nil
	}
	sorted := slices.Clone(elements)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// IsEverything reports whether no namespace of users is left out.
func (s Scope) IsEverything() bool { return len(s.Only) == 0 && len(s.Except) == 0 }

// Contains reports whether the namespace is chosen.
func (s Scope) Contains(n Namespace) bool {
	if n.IsSystem() || named(s.Except, n) {
		return false
	}
	return len(s.Only) == 0 || named(s.Only, n)
}

// ContainsAll reports whether everything that other chooses is chosen here too. It errs on the side of false.
func (s Scope) ContainsAll(other Scope) bool {
	for _, element := range s.Except {
		if !slices.Contains(other.Except, element) && !disjoint(element, other.Only) {
			return false
		}
	}
	if len(s.Only) == 0 {
		return true
	}
	if len(other.Only) == 0 {
		return false
	}
	for _, element := range other.Only {
		db, _, _ := strings.Cut(element, ".")
		if !slices.Contains(s.Only, element) && !slices.Contains(s.Only, db) {
			return false
		}
	}
	return true
}

// disjoint reports whether the element shares no namespace with any element of a list that is not empty.
func disjoint(element string, list []string) bool {
	if len(list) == 0 {
		return false
	}
	for _, other := range list {
		if element == other || strings.HasPrefix(other, element+".") || strings.HasPrefix(element, other+".") {
			return false
		}
	}
	return true
}

func named(elements []string, n Namespace) bool {
	return slices.Contains(elements, n.DB) || slices.Contains(elements, n.String())
}

// String gives the scope as a person would say it.
func (s Scope) String() string {
	switch {
	case s.IsEverything():
		return "everything"
	case len(s.Except) == 0:
		return strings.Join(s.Only, ", ")
	case len(s.Only) == 0:
		return "everything except " + strings.Join(s.Except, ", ")
	}
	return strings.Join(s.Only, ", ") + " except " + strings.Join(s.Except, ", ")
}
