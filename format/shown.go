package format

import (
	"bytes"
	"encoding/json"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Document is a BSON document inside a JSON object: canonical Extended JSON, for people. Where that text would not read
// back to the same bytes it is only shown, and the bytes stand beside it as base64, which is what readers take.
type Document bson.Raw

// bytesBeside is the second form.
type bytesBeside struct {
	Shown string `json:"$shown,omitempty"`
	Raw   []byte `json:"$raw,omitempty"`
}

// shownDepth is how deep a document may be nested to stand in a JSON object as text.
const shownDepth = maxJSONDepth / 2

// MarshalJSON gives one of the two forms, null for a nil document.
func (d Document) MarshalJSON() ([]byte, error) {
	if d == nil {
		return []byte("null"), nil
	}
	if err := ValidateDocument(d); err != nil {
		return nil, err
	}
	text, err := bson.MarshalExtJSON(bson.Raw(d), true, false)
	if err == nil && readsBack(text, d) {
		return text, nil
	}
	return json.Marshal(bytesBeside{Shown: string(text), Raw: d})
}

// readsBack reports whether text is as good as the document.
func readsBack(text []byte, document Document) bool {
	var back bson.Raw
	if checkJSON(text) != nil || depthOf(text) > shownDepth || bytes.Contains(text, []byte(`"$raw"`)) {
		return false
	}
	return bson.UnmarshalExtJSON(text, true, &back) == nil && bytes.Equal(back, document)
}

func depthOf(text []byte) int {
	decoder := json.NewDecoder(bytes.NewReader(text))
	deepest, depth := 0, 0
	for {
		token, err := decoder.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
			deepest = max(deepest, depth)
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}

// UnmarshalJSON reads both forms.
func (d *Document) UnmarshalJSON(text []byte) error {
	*d = nil
	if string(text) == "null" {
		return nil
	}
	if bytes.Contains(text, []byte(`"$raw"`)) {
		// What is shown is for people only.
		var beside struct {
			Raw []byte `json:"$raw"`
		}
		if err := json.Unmarshal(text, &beside); err != nil {
			return err
		}
		if err := ValidateDocument(beside.Raw); err != nil {
			return err
		}
		*d = beside.Raw
		return nil
	}
	var document bson.Raw
	if err := bson.UnmarshalExtJSON(text, true, &document); err != nil {
		return err
	}
	*d = Document(document)
	return ValidateDocument(*d)
}
