package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"pitr"
)

// Object is a JSON object of a repository: a pointer to one of the structs of this package.
type Object interface {
	// ObjectName gives the name that follows from what the object says of itself.
	ObjectName() (Name, error)
	unknown() *kept
}

// The limits of a JSON object.
const (
	// MaxJSON is the size of the largest JSON object. They do not grow with the data, so this is generous.
	MaxJSON = 4 << 20
	// maxJSONDepth bounds the nesting; the objects need six levels and what a shown document adds.
	maxJSONDepth = 32
)

// The last two lines of a JSON object hold the digest of all bytes before them.
const (
	digestHead = "  \"sha256\": \""
	digestTail = "\"\n}\n"
	digestLine = len(digestHead) + 2*len(Digest{}) + len(digestTail)
)

// EncodeJSON gives the object as it is stored: the format's version and the object's kind first, two-space indents, what a
// newer pitr had in it when it was decoded, and its own sha256 last.
func EncodeJSON(object Object) (Sealed, error) {
	name, err := object.ObjectName()
	if err != nil {
		return Sealed{}, err
	}
	op := "encode " + name.text
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(object); err != nil {
		return Sealed{}, pitr.Errorf(pitr.KindUnexpected, op, "", "%w", err)
	}
	merged, err := object.unknown().merge(bytes.TrimSpace(body.Bytes()))
	if err != nil {
		return Sealed{}, pitr.Errorf(pitr.KindUnexpected, op, "", "%w", err)
	}
	head := fmt.Sprintf(`{"format":%d,"object":%q`, Version, name.kind)
	if len(merged) > len("{}") {
		head += ","
	}
	var text bytes.Buffer
	if err := json.Indent(&text, append([]byte(head), merged[1:]...), "", "  "); err != nil {
		return Sealed{}, pitr.Errorf(pitr.KindUnexpected, op, "", "%w", err)
	}
	data := append(bytes.TrimSuffix(text.Bytes(), []byte("\n}")), ",\n"...)
	digest := Sum(data)
	data = append(append(append(data, digestHead...), digest.String()...), digestTail...)
	if len(data) > MaxJSON {
		return Sealed{}, pitr.Errorf(pitr.KindLimit, op, "", "an object of %d bytes", len(data))
	}
	if err := checkJSON(data); err != nil {
		return Sealed{}, pitr.Errorf(pitr.KindUnexpected, op, "", "%w", err)
	}
	return Sealed{Name: name, Data: data, Digest: Sum(data)}, nil
}

// DecodeJSON reads the object that was stored under the name. What a newer format wrote has kind unsupported; everything
// that is not byte for byte what EncodeJSON made, or says that it is another object, has kind corrupt. Fields that this
// pitr does not know are kept for EncodeJSON.
func DecodeJSON(name Name, data []byte, object Object) error {
	op := "read " + name.text
	if len(data) > MaxJSON {
		return pitr.Corruptf(op, "a JSON object of %d bytes", len(data))
	}
	body, digest, err := splitDigest(data)
	matches := err == nil && Sum(body) == digest
	version, known := versionOf(data)
	if known && version > Version && (matches || err != nil) {
		return newerFormat(version)
	}
	switch {
	case err != nil:
		return pitr.Corruptf(op, "%w", err)
	case !matches:
		return pitr.Corruptf(op, "the object is not what was written")
	case !known || version < 1:
		return pitr.Corruptf(op, "no version of the format in the first field")
	}
	if err := checkJSON(data); err != nil {
		return pitr.Corruptf(op, "%w", err)
	}
	// Objects of one job name themselves by the same fields: only their kind tells them apart.
	var said struct {
		Kind Kind `json:"object"`
	}
	if err := json.Unmarshal(data, &said); err != nil || said.Kind != name.kind {
		return pitr.Corruptf(op, "the object says that it is a %.20q", said.Kind)
	}
	if err := json.Unmarshal(data, object); err != nil {
		return pitr.Corruptf(op, "%w", err)
	}
	if err := object.unknown().keep(data, object); err != nil {
		return pitr.Corruptf(op, "%w", err)
	}
	own, err := object.ObjectName()
	if err != nil || own != name {
		return pitr.Corruptf(op, "the object says that it is %q", own.text)
	}
	return nil
}

// splitDigest takes the last lines off. It fails where they are not a sha256 in the one form that is written, so nobody
// can put a weaker hash in its place.
func splitDigest(data []byte) (body []byte, digest Digest, err error) {
	at := len(data) - digestLine
	if at < 0 || !bytes.HasPrefix(data[at:], []byte(digestHead)) || !bytes.HasSuffix(data, []byte(digestTail)) {
		return nil, digest, errors.New("the object does not end with its sha256")
	}
	digest, err = ParseDigest(string(data[at+len(digestHead) : len(data)-len(digestTail)]))
	return data[:at], digest, err
}

// versionOf reads the first field, and no further: a newer format may look quite different behind it.
func versionOf(data []byte) (version int64, known bool) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	open, _ := decoder.Token()
	key, _ := decoder.Token()
	value, err := decoder.Token()
	number, isNumber := value.(json.Number)
	if err != nil || open != json.Delim('{') || key != "format" || !isNumber {
		return 0, false
	}
	version, err = number.Int64()
	return version, err == nil
}

// checkJSON refuses what the decoder of the standard library would let pass: repeated keys, deep nesting, broken text.
func checkJSON(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("text that is not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var levels []level
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if key, isText := token.(string); isText && len(levels) > 0 && levels[len(levels)-1].expectsKey() {
			if err := levels[len(levels)-1].key(key); err != nil {
				return err
			}
			continue
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{keys: map[string]bool{}})
		case json.Delim('['):
			levels = append(levels, level{})
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:len(levels)-1]
		}
		if len(levels) > maxJSONDepth {
			return fmt.Errorf("JSON nested deeper than %d levels", maxJSONDepth)
		}
		if opened := token == json.Delim('{') || token == json.Delim('['); !opened && len(levels) > 0 {
			levels[len(levels)-1].hasKey = false
		}
	}
}

// level is an object (with keys) or an array of the JSON text that is being walked.
type level struct {
	keys   map[string]bool
	hasKey bool
}

func (l *level) expectsKey() bool { return l.keys != nil && !l.hasKey }

func (l *level) key(key string) error {
	if l.keys[key] {
		return fmt.Errorf("the key %.80q stands twice", key)
	}
	l.keys[key], l.hasKey = true, true
	return nil
}
