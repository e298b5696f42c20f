package report

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// Lines writes results as JSON lines. Each line has a type and a version `v`; docs/json-lines.md lists the types and
// their fields, which change only with the version.
type Lines struct {
	to     io.Writer
	redact Redactor
}

// NewLines writes to a stream; what the redactor hides is hidden in every line.
func NewLines(to io.Writer, redact Redactor) *Lines { return &Lines{to: to, redact: redact} }

// Write writes one value as a line. The value says its own type and version.
func (l *Lines) Write(value any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = l.to.Write(append(content, '\n'))
	return err
}

type changeLine struct {
	Type    string          `json:"type"`
	Version int             `json:"v"`
	N       int64           `json:"n"`
	NS      string          `json:"ns"`
	Key     json.RawMessage `json:"key"`
	Class   pitr.Class      `json:"class"`
	First   pitr.OpTime     `json:"first"`
	Last    pitr.OpTime     `json:"last"`
	Ops     int             `json:"ops"`
	Bursts  []int           `json:"bursts,omitempty"`
	E       json.RawMessage `json:"e,omitempty"`
	T       json.RawMessage `json:"t,omitempty"`
}

// Change writes one change with both sides in canonical Extended JSON.
func (l *Lines) Change(c pitr.Change) error {
	e, t := l.redact.Pair(c.NS, c.E, c.T)
	return l.Write(changeLine{
		Type: "change", Version: 1, N: c.N, NS: c.NS.String(), Key: l.redact.Key(c.NS, c.Key), Class: c.Class,
		First: c.First, Last: c.Last, Ops: c.Ops, Bursts: c.Bursts, E: Extended(e), T: Extended(t),
	})
}

type stepLine struct {
	Type    string          `json:"type"`
	Version int             `json:"v"`
	N       int64           `json:"n"`
	Step    pitr.Step       `json:"step"`
	NS      string          `json:"ns"`
	E       json.RawMessage `json:"e,omitempty"`
	T       json.RawMessage `json:"t,omitempty"`
}

// Step writes one catalog step.
func (l *Lines) Step(s pitr.CatalogStep) error {
	return l.Write(stepLine{Type: "catalog step", Version: 1, N: s.N, Step: s.Step, NS: s.NS.String(), E: Extended(s.E), T: Extended(s.T)})
}

// Extended gives a document as canonical Extended JSON, nothing for an absent one. Where the text would not read back to
// the same bytes (duplicate names, invalid UTF-8), it is {"$raw": base64, "$shown": text} and readers take $raw.
func Extended(document bson.Raw) json.RawMessage {
	if document == nil {
		return nil
	}
	text, err := bson.MarshalExtJSON(document, true, false)
	var back bson.Raw
	if err == nil && bson.UnmarshalExtJSON(text, true, &back) == nil && bytes.Equal(back, document) {
		return text
	}
	return mustJSON(map[string]string{"$raw": base64.StdEncoding.EncodeToString(document), "$shown": string(text)})
}

// extendedValue gives a value as canonical Extended JSON by way of a document, the only thing the library converts.
func extendedValue(value bson.RawValue) json.RawMessage {
	document, err := bson.Marshal(bson.D{{Key: "v", Value: value}})
	if err != nil {
		return mustJSON(value.String())
	}
	var wrapped map[string]json.RawMessage
	if json.Unmarshal(Extended(document), &wrapped) != nil || wrapped["v"] == nil {
		return mustJSON(value.String())
	}
	return wrapped["v"]
}

// mustJSON marshals strings and maps of strings, which cannot fail.
func mustJSON(value any) json.RawMessage {
	content, err := json.Marshal(value)
	if err != nil {
		return json.RawMessage("null")
	}
	return content
}
