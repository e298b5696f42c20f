package modelcluster

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// errParallelArrays is the server's refusal of a compound index over two arrays.
var errParallelArrays = errors.New("cannot index parallel arrays")

// indexKeys computes the keys of a document in an index as the server does; a document that the index leaves out has
// none. It is written without a look at package guard, which it is there to judge.
func indexKeys(spec, document bson.Raw) ([]string, error) {
	if filter, ok := spec.Lookup("partialFilterExpression").DocumentOK(); ok && !matches(filter, document) {
		return nil, nil
	}
	key, _ := spec.Lookup("key").DocumentOK()
	elements, err := key.Elements()
	if err != nil {
		return nil, err
	}
	_, collated := spec.Lookup("collation").DocumentOK()
	sparse, _ := spec.Lookup("sparse").BooleanOK()
	parts := make([]part, len(elements))
	for i, element := range elements {
		parts[i] = part{path: strings.Split(element.Key(), "."), at: bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: document}}
	}
	tuples, err := expand(parts)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, tuple := range tuples {
		text, missing := "", 0
		for _, value := range tuple {
			if value.Type == 0 {
				missing++
			}
			part := keyText(value)
			if collated {
				part = strings.ToLower(part)
			}
			text += "|" + part
		}
		if sparse && missing == len(tuple) {
			continue
		}
		keys = append(keys, text)
	}
	return keys, nil
}

// flatKeys gives the text of a value of an index: a document of its fields in order, null where there is none.
func flatKeys(spec, value bson.Raw) (string, error) {
	_, collated := spec.Lookup("collation").DocumentOK()
	elements, err := value.Elements()
	text := ""
	for _, element := range elements {
		part := keyText(element.Value())
		if collated {
			part = strings.ToLower(part)
		}
		text += "|" + part
	}
	return text, err
}

// part is one component of a compound key on its way through the document.
type part struct {
	path []string
	at   bson.RawValue
	done bool
}

// expand walks all components; where they meet one array, it takes its elements one by one, for all of them together.
func expand(parts []part) ([][]bson.RawValue, error) {
	var array *bson.RawValue
	for i := range parts {
		walk(&parts[i])
		if parts[i].done || parts[i].at.Type != bson.TypeArray {
			continue
		}
		if array != nil && !bytes.Equal(array.Value, parts[i].at.Value) {
			return nil, errParallelArrays
		}
		array = &parts[i].at
	}
	if array == nil {
		tuple := make([]bson.RawValue, len(parts))
		for i, p := range parts {
			tuple[i] = p.at
		}
		return [][]bson.RawValue{tuple}, nil
	}
	values, err := bson.RawArray(array.Value).Values()
	if err != nil {
		return nil, err
	}
	if len(values) == 0 {
		values = []bson.RawValue{{Type: bson.TypeNull}}
	}
	meets := array.Value
	var tuples [][]bson.RawValue
	for _, value := range values {
		inner := append([]part(nil), parts...)
		for i := range inner {
			if !inner[i].done && inner[i].at.Type == bson.TypeArray && bytes.Equal(inner[i].at.Value, meets) {
				inner[i].at = value
				if len(inner[i].path) == 0 {
					inner[i].done = true
				} else if value.Type != bson.TypeEmbeddedDocument {
					inner[i] = part{done: true, at: bson.RawValue{Type: bson.TypeNull}}
				}
			}
		}
		more, err := expand(inner)
		if err != nil {
			return nil, err
		}
		tuples = append(tuples, more...)
	}
	return tuples, nil
}

// walk goes down to the end of the path, a missing field, or an array.
func walk(p *part) {
	for !p.done && p.at.Type != bson.TypeArray {
		if len(p.path) == 0 {
			p.done = true
			return
		}
		document, ok := p.at.DocumentOK()
		next, err := document.LookupErr(p.path[0])
		if !ok || err != nil {
			*p = part{done: true}
			return
		}
		p.path, p.at = p.path[1:], next
	}
}

func keyText(value bson.RawValue) string {
	switch value.Type {
	case 0, bson.TypeNull:
		return "null"
	case bson.TypeInt32:
		return fmt.Sprintf("n%g", float64(value.Int32()))
	case bson.TypeInt64:
		return fmt.Sprintf("n%g", float64(value.Int64()))
	case bson.TypeDouble:
		return fmt.Sprintf("n%g", value.Double())
	case bson.TypeString:
		return "s" + value.StringValue()
	}
	return fmt.Sprintf("%v%x", value.Type, value.Value)
}

// matches judges the few conditions that the tests put into partial filters.
func matches(filter, document bson.Raw) bool {
	elements, err := filter.Elements()
	if err != nil {
		return false
	}
	for _, element := range elements {
		field, lookupErr := document.LookupErr(element.Key())
		condition, isDocument := element.Value().DocumentOK()
		if !isDocument {
			if lookupErr != nil || keyText(field) != keyText(element.Value()) {
				return false
			}
			continue
		}
		if wanted, ok := condition.Lookup("$exists").BooleanOK(); ok && wanted != (lookupErr == nil) {
			return false
		}
		if bound, ok := condition.Lookup("$gt").AsInt64OK(); ok {
			number, isNumber := field.AsInt64OK()
			if lookupErr != nil || !isNumber || number <= bound {
				return false
			}
		}
	}
	return true
}

// collides names an index that forbids the document beside the others.
func (c *collection) collides(document bson.Raw) error {
	for _, spec := range c.Indexes {
		prepared, _ := spec.Lookup("prepareUnique").BooleanOK()
		if !pitr.IsUnique(spec) && !prepared || pitr.IndexName(spec) == "_id_" {
			continue
		}
		if err := c.collidesIn(spec, document); err != nil {
			return err
		}
	}
	return nil
}

func (c *collection) collidesIn(spec, document bson.Raw) error {
	keys, err := c.keysOf(spec, document)
	if err != nil {
		return err
	}
	own, err := pitr.KeyOf(document)
	if err != nil {
		return err
	}
	taken := map[string]bool{}
	for _, key := range keys {
		taken[key] = true
	}
	for id, other := range c.documents {
		if id == own.Equal() {
			continue
		}
		others, err := c.keysOf(spec, other)
		if err != nil {
			return err
		}
		for _, key := range others {
			if taken[key] {
				return fmt.Errorf("E11000 duplicate key in %s of %s: %s", pitr.IndexName(spec), c.NS, key)
			}
		}
	}
	return nil
}

// keysOf remembers what indexKeys gives: a document is compared with every other again and again.
func (c *collection) keysOf(spec, document bson.Raw) ([]string, error) {
	known := c.keys[string(spec)]
	if keys, ok := known[string(document)]; ok {
		return keys, nil
	}
	keys, err := indexKeys(spec, document)
	if err != nil {
		return nil, err
	}
	if known == nil {
		known = map[string][]string{}
		if c.keys == nil {
			c.keys = map[string]map[string][]string{}
		}
		c.keys[string(spec)] = known
	}
	known[string(document)] = keys
	return keys, nil
}
