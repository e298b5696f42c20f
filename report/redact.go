package report

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// What stands in place of a value that must not be shown. The second form says that the two sides differ, which a reader
// of a comparison needs to know and which gives nothing of the value away.
const (
	redacted        = Hidden
	redactedChanged = "(redacted, changed)"
)

// Hidden stands in place of a value that must not be shown.
const Hidden = "(redacted)"

// Redactor hides fields in everything that is shown; evidence itself stays whole. The zero value hides nothing.
type Redactor struct {
	rules []rule
}

type rule struct {
	// db is empty where the rule holds in every database.
	db, collection string
	path           []string
}

// NewRedactor reads paths such as "tokens.jwt" (collection and field, in every database) or "deviceauth.tokens.jwt".
// Which of the two a path of three words means cannot be told from the words, so it hides both: hiding too much is the
// safe side.
func NewRedactor(paths []string) (Redactor, error) {
	var r Redactor
	for _, path := range paths {
		words := strings.Split(path, ".")
		if len(words) < 2 || strings.Contains("."+path+".", "..") {
			return Redactor{}, pitr.Errorf(pitr.KindInvalid, "read the redaction rules", "write collection.field, such as tokens.jwt",
				"%q names no field of a collection", path)
		}
		r.rules = append(r.rules, rule{collection: words[0], path: words[1:]})
		if len(words) > 2 {
			r.rules = append(r.rules, rule{db: words[0], collection: words[1], path: words[2:]})
		}
	}
	return r, nil
}

// Pair gives both sides of a change without the hidden values.
func (r Redactor) Pair(ns pitr.Namespace, e, t bson.Raw) (shownE, shownT bson.Raw) {
	for _, rule := range r.rules {
		if rule.collection != ns.Collection || (rule.db != "" && rule.db != ns.DB) {
			continue
		}
		e, t = hidePair(e, t, rule.path)
	}
	return e, t
}

// Document gives one document without the hidden values.
func (r Redactor) Document(ns pitr.Namespace, document bson.Raw) bson.Raw {
	shown, _ := r.Pair(ns, document, nil)
	return shown
}

// Key gives the _id of a document as Extended JSON, unless a rule hides it in this collection.
func (r Redactor) Key(ns pitr.Namespace, key pitr.Key) json.RawMessage {
	return extendedValue(r.Document(ns, key.Filter()).Lookup("_id"))
}

// Hides reports whether a rule hides a field, a part of it, or something that it is a part of.
func (r Redactor) Hides(ns pitr.Namespace, field string) bool {
	words := strings.Split(field, ".")
	return slices.ContainsFunc(r.rules, func(rule rule) bool {
		common := min(len(words), len(rule.path))
		return rule.collection == ns.Collection && (rule.db == "" || rule.db == ns.DB) && slices.Equal(words[:common], rule.path[:common])
	})
}

func hidePair(e, t bson.Raw, path []string) (shownE, shownT bson.Raw) {
	mark := redacted
	if e != nil && t != nil && !bytes.Equal(valuesAt(e, path), valuesAt(t, path)) {
		mark = redactedChanged
	}
	return hide(e, path, mark), hide(t, path, redacted)
}

// valuesAt gives the bytes of all values that a path reaches, for comparison only.
func valuesAt(document bson.Raw, path []string) []byte {
	var found []byte
	elements, err := document.Elements()
	if err != nil {
		return nil
	}
	for _, element := range elements {
		value, rest := element.Value(), path[1:]
		if element.Key() != path[0] {
			continue
		}
		found = append(found, byte(value.Type))
		if len(rest) > 0 && (value.Type == bson.TypeEmbeddedDocument || value.Type == bson.TypeArray) {
			found = append(found, descend(value, rest)...)
			continue
		}
		found = append(found, value.Value...)
	}
	return found
}

func descend(value bson.RawValue, path []string) []byte {
	if value.Type != bson.TypeArray {
		return valuesAt(bson.Raw(value.Value), path)
	}
	var found []byte
	elements, err := bson.Raw(value.Value).Elements()
	if err != nil {
		return nil
	}
	for _, element := range elements {
		if inner := element.Value(); inner.Type == bson.TypeEmbeddedDocument {
			found = append(found, valuesAt(bson.Raw(inner.Value), path)...)
		}
	}
	return found
}

// hide gives a copy of the document in which the value at the path is the mark; arrays on the way are entered.
func hide(document bson.Raw, path []string, mark string) bson.Raw {
	if document == nil {
		return nil
	}
	elements, err := document.Elements()
	if err != nil {
		// What cannot be read cannot be searched for the secret either.
		return textDocument(mark)
	}
	var shown bson.D
	for _, element := range elements {
		shown = append(shown, bson.E{Key: element.Key(), Value: hideValue(element, path, mark)})
	}
	content, err := bson.Marshal(shown)
	if err != nil {
		return textDocument(mark)
	}
	return content
}

func hideValue(element bson.RawElement, path []string, mark string) any {
	value := element.Value()
	switch {
	case element.Key() != path[0]:
		return value
	case len(path) == 1:
		return mark
	case value.Type == bson.TypeEmbeddedDocument:
		return hide(bson.Raw(value.Value), path[1:], mark)
	case value.Type == bson.TypeArray:
		items, err := bson.Raw(value.Value).Elements()
		if err != nil {
			return mark
		}
		shown := bson.A{}
		for _, item := range items {
			if inner := item.Value(); inner.Type == bson.TypeEmbeddedDocument {
				shown = append(shown, hide(bson.Raw(inner.Value), path[1:], mark))
				continue
			}
			shown = append(shown, item.Value())
		}
		return shown
	}
	return value
}

func textDocument(mark string) bson.Raw {
	content, err := bson.Marshal(bson.D{{Key: "document", Value: mark}})
	if err != nil {
		return nil
	}
	return content
}

// concerns reports whether a rule hides anything in a collection.
func (r Redactor) concerns(ns pitr.Namespace) bool {
	return slices.ContainsFunc(r.rules, func(rule rule) bool {
		return rule.collection == ns.Collection && (rule.db == "" || rule.db == ns.DB)
	})
}
