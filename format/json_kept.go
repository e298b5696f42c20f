package format

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
)

// kept is embedded in every JSON object: the fields that this pitr does not know, so that decoding and encoding again
// loses nothing. It looks into nested objects, not into lists.
type kept struct {
	members []member
	inside  map[string]*kept
}

// member is one field of a JSON object as it stands in the text, without spaces.
type member struct {
	key   string
	value json.RawMessage
}

func (k *kept) unknown() *kept { return k }

// keep remembers what the text has beyond the fields of the object.
func (k *kept) keep(text []byte, object Object) error {
	found, err := unknownIn(text, reflect.TypeOf(object).Elem(), map[string]bool{"format": true, "object": true, "sha256": true})
	if err != nil {
		return err
	}
	*k = *found
	return nil
}

// merge adds the remembered fields to a text of the same object.
func (k *kept) merge(text []byte) ([]byte, error) {
	if len(k.members) == 0 && len(k.inside) == 0 {
		return text, nil
	}
	members, err := split(text)
	if err != nil {
		return nil, err
	}
	var merged bytes.Buffer
	for i, m := range append(members, k.members...) {
		value := []byte(m.value)
		if inside := k.inside[m.key]; inside != nil && i < len(members) && bytes.HasPrefix(value, []byte("{")) {
			if value, err = inside.merge(value); err != nil {
				return nil, err
			}
		}
		key, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		merged.WriteByte(',')
		merged.Write(key)
		merged.WriteByte(':')
		merged.Write(value)
	}
	return append([]byte("{"), append(merged.Bytes()[1:], '}')...), nil
}

// unknownIn compares the members of the text with the fields of a struct type. Known names must be spelt exactly: the
// decoder would take other cases for the same field.
func unknownIn(text []byte, shape reflect.Type, known map[string]bool) (*kept, error) {
	members, err := split(text)
	if err != nil {
		return nil, err
	}
	fields := fieldsOf(shape)
	k := &kept{}
	for _, m := range members {
		field, isField := fields[strings.ToLower(m.key)]
		switch {
		case known[m.key]:
		case !isField:
			k.members = append(k.members, m)
		case field.name != m.key:
			return nil, fmt.Errorf("the key %.80q is not spelt %q", m.key, field.name)
		case field.shape != nil && bytes.HasPrefix(m.value, []byte("{")):
			inside, err := unknownIn(m.value, field.shape, nil)
			if err != nil {
				return nil, err
			}
			if len(inside.members) > 0 || len(inside.inside) > 0 {
				if k.inside == nil {
					k.inside = make(map[string]*kept)
				}
				k.inside[m.key] = inside
			}
		}
	}
	return k, nil
}

// field is a field of a struct under its JSON name; shape is nil unless it is a struct that is stored as an object.
type field struct {
	name  string
	shape reflect.Type
}

// fieldsOf gives the fields by the lower case of their JSON names.
func fieldsOf(shape reflect.Type) map[string]field {
	fields := make(map[string]field)
	for f := range shape.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			maps.Copy(fields, fieldsOf(f.Type))
			continue
		}
		if !f.IsExported() {
			continue
		}
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() != reflect.Struct || hasOwnText(inner) {
			inner = nil
		}
		fields[strings.ToLower(name)] = field{name: name, shape: inner}
	}
	return fields
}

// hasOwnText reports whether a type writes itself.
func hasOwnText(shape reflect.Type) bool {
	pointer := reflect.PointerTo(shape)
	return pointer.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) ||
		pointer.Implements(reflect.TypeFor[json.Unmarshaler]())
}

// split takes a JSON object apart into its members, in their order.
func split(text []byte) ([]member, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return nil, fmt.Errorf("no JSON object: %w", err)
	}
	var members []member
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		key, isText := token.(string)
		if !isText {
			return nil, fmt.Errorf("a key that is no text")
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, value); err != nil {
			return nil, err
		}
		members = append(members, member{key: key, value: compact.Bytes()})
	}
	return members, nil
}
