package report

import (
	"fmt"
	"io"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/diff"
)

// textValue is how many characters of a value a screen shows.
const textValue = 120

// Text writes differences for a person at a terminal. Control characters are escaped.
type Text struct {
	to     io.Writer
	redact Redactor
}

// NewText writes to a stream.
func NewText(to io.Writer, redact Redactor) *Text { return &Text{to: to, redact: redact} }

// Step writes one catalog step.
func (t *Text) Step(s pitr.CatalogStep) error {
	name := pitr.IndexName(s.E)
	if name == "" {
		name = pitr.IndexName(s.T)
	}
	_, err := fmt.Fprintf(t.to, "%s %s %s\n", s.Step, Printable(s.NS.String()), Printable(name))
	return err
}

// Change writes one record, field by field.
func (t *Text) Change(c pitr.Change) error {
	e, s := t.redact.Pair(c.NS, c.E, c.T)
	if _, err := fmt.Fprintf(t.to, "%s %s %s\n", c.Class, Printable(c.NS.String()), Printable(keyText(c, t.redact))); err != nil {
		return err
	}
	if e == nil || s == nil {
		return nil
	}
	return t.Fields(e, s)
}

// Fields writes where the version at E differs from that at T, which may be nil.
func (t *Text) Fields(e, s bson.Raw) error {
	for _, field := range diff.Fields(e, s) {
		var line string
		switch field.Kind {
		case diff.FieldAdded:
			line = "+ " + field.Path.String() + ": " + shortText(field.E)
		case diff.FieldRemoved:
			line = "- " + field.Path.String() + ": " + shortText(field.T)
		case diff.FieldMoved:
			line = "~ " + field.Path.String() + " has another place"
		default:
			line = "~ " + field.Path.String() + ": " + shortText(field.T) + " -> " + shortText(field.E)
		}
		if _, err := fmt.Fprintln(t.to, "  "+Printable(line)); err != nil {
			return err
		}
	}
	return nil
}

func shortText(value bson.RawValue) string {
	text := string(extendedValue(value))
	if len(text) <= textValue {
		return text
	}
	return strings.ToValidUTF8(text[:textValue], "") + fmt.Sprintf("… (%d more)", len(text)-textValue)
}

// Printable escapes control characters and the marks that turn text around, so that no name or value read from a
// repository or a server can move the cursor or hide what follows it.
func Printable(text string) string {
	var out strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || r == '\t':
			out.WriteRune(r)
		case hiding(r):
			fmt.Fprintf(&out, "\\u%04x", r)
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// hiding reports whether a character does not print, or hides or turns around what stands beside it.
func hiding(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0xad || r == 0x061c || r == 0x180e || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e ||
		r >= 0x2060 && r <= 0x206f || r == 0xfeff || r == 0xfffd || r >= 0xe0000 && r <= 0xe007f
}

// keyText shows the key unless a rule hides the _id of this collection.
func keyText(change pitr.Change, redact Redactor) string {
	return string(redact.Key(change.NS, change.Key))
}
