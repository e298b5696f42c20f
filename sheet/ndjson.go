package sheet

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// NDJSON writes documents as canonical Extended JSON, one a line, as mongoimport takes them.
type NDJSON struct {
	out   *bufio.Writer
	notes Notes
}

// NewNDJSON begins a file.
func NewNDJSON(w io.Writer) *NDJSON { return &NDJSON{out: bufio.NewWriterSize(w, 64<<10)} }

// Document writes a document. Text that reads back to other bytes (a field that looks like a type of Extended JSON, text
// that is not UTF-8) is counted. A document that has no text at all stands there as `{"$raw": <base64>}`, which mongoimport
// takes for a document with that field: it is counted, too.
func (n *NDJSON) Document(document bson.Raw) error {
	text, err := bson.MarshalExtJSON(document, true, false)
	var back bson.Raw
	if err == nil {
		err = bson.UnmarshalExtJSON(text, true, &back)
	}
	switch {
	case err != nil:
		n.notes.Raw++
		text, err = json.Marshal(map[string][]byte{"$raw": document})
		if err != nil {
			return err
		}
	case !bytes.Equal(back, document):
		n.notes.Inexact++
	}
	if _, err := n.out.Write(text); err != nil {
		return err
	}
	return n.out.WriteByte('\n')
}

// Close writes what is left.
func (n *NDJSON) Close() error { return n.out.Flush() }

// Notes counts what could not be written as it is.
func (n *NDJSON) Notes() Notes { return n.notes }
