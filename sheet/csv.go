package sheet

import (
	"bufio"
	"io"
	"strings"
)

// CSVOptions are the choices of a CSV file; the zero value is what other programs read best.
type CSVOptions struct {
	// BOM writes the mark by which Excel knows UTF-8.
	BOM bool
	// Exact writes text as it is, also where a spreadsheet would run it as a formula.
	Exact bool
}

// CSV writes rows as RFC 4180 has it. The library's writer is not used: it changes line ends within a value.
type CSV struct {
	out     *bufio.Writer
	options CSVOptions
	columns int
	err     error
}

// NewCSV writes the head of a table.
func NewCSV(w io.Writer, columns []Column, o CSVOptions) (*CSV, error) {
	c := &CSV{out: bufio.NewWriterSize(w, 64<<10), options: o, columns: len(columns)}
	if o.BOM {
		c.write("\uFEFF")
	}
	head := make([]Cell, len(columns))
	for i, column := range columns {
		head[i] = Cell{Kind: Text, Text: column.Name}
	}
	return c, c.Row(head)
}

// Row writes a row.
func (c *CSV) Row(cells []Cell) error {
	for i := range max(c.columns, len(cells)) {
		if i > 0 {
			c.write(",")
		}
		if i < len(cells) {
			c.cell(cells[i])
		}
	}
	c.write("\r\n")
	return c.err
}

func (c *CSV) cell(cell Cell) {
	text := cell.Text
	if cell.Kind == Text && !c.options.Exact {
		text = inert(text)
	}
	if !strings.ContainsAny(text, ",\"\r\n") && strings.TrimSpace(text) == text {
		c.write(text)
		return
	}
	c.write(`"` + strings.ReplaceAll(text, `"`, `""`) + `"`)
}

func (c *CSV) write(text string) {
	if c.err == nil {
		_, c.err = c.out.WriteString(text)
	}
}

// Close writes what is left.
func (c *CSV) Close() error {
	if c.err == nil {
		c.err = c.out.Flush()
	}
	return c.err
}

// Notes gives nothing: a CSV file holds every text.
func (c *CSV) Notes() Notes { return Notes{} }

// inert puts an apostrophe before text that a spreadsheet would run as a formula, and before text that begins with one
// already, so that taking one away gives the text back. Wide forms of the signs count: some programs take them for the
// narrow ones. A number is no text and keeps its sign. // case X17
func inert(text string) string {
	for _, sign := range []string{"=", "+", "-", "@", "\t", "\r", "\n", "'", "＝", "＋", "－", "＠"} {
		if strings.HasPrefix(text, sign) {
			return "'" + text
		}
	}
	return text
}

// Plain takes away the apostrophe that inert puts there.
func Plain(text string) string {
	if rest, found := strings.CutPrefix(text, "'"); found && inert(rest) == text {
		return rest
	}
	return text
}
