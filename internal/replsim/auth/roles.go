package auth

import (
	_ "embed"
	"slices"
	"strings"
)

//go:embed builtin.txt
var builtinText string

// Builtin gives the privileges of a built-in role of a database; ok is false if there is no such role there.
func Builtin(role RoleName) (privileges []Privilege, ok bool) {
	lines := builtinLines(role.Role)
	if lines == nil {
		return nil, false
	}
	for _, line := range lines {
		words := strings.Fields(line)
		resource, own := parseResource(words[0], role.DB)
		if !own && role.DB != "admin" {
			return nil, false
		}
		privileges = append(privileges, Privilege{Resource: resource, Actions: words[1:]})
	}
	return privileges, true
}

// builtinLines gives the privileges of a role in their text form, nil if there is no such role.
func builtinLines(name string) []string {
	var lines []string
	inside := false
	for line := range strings.Lines(builtinText) {
		if found, isRole := strings.CutPrefix(strings.TrimSpace(line), "role "); isRole {
			inside = found == name
			continue
		}
		if inside && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// parseResource reads the text form of a resource and reports whether it lies in the role's own database.
func parseResource(text, db string) (Resource, bool) {
	switch text {
	case "any":
		return Resource{Any: true}, false
	case "cluster":
		return Cluster, false
	case "buckets":
		return Resource{Buckets: true}, false
	}
	in, collection, _ := strings.Cut(text, ".")
	if in == "@" {
		return Namespace(db, collection), true
	}
	return Namespace(in, collection), false
}

// Join makes one list of several, with one privilege per resource and each action once.
func Join(lists ...[]Privilege) []Privilege {
	var joined []Privilege
	for _, list := range lists {
		for _, p := range list {
			i := slices.IndexFunc(joined, func(known Privilege) bool { return known.Resource == p.Resource })
			if i < 0 {
				joined = append(joined, Privilege{Resource: p.Resource, Actions: slices.Clone(p.Actions)})
				continue
			}
			for _, action := range p.Actions {
				if !slices.Contains(joined[i].Actions, action) {
					joined[i].Actions = append(joined[i].Actions, action)
				}
			}
		}
	}
	return joined
}
