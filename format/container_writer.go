package format

import (
	"bytes"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// WriterOptions are the choices of a Writer; the zero value is good.
type WriterOptions struct {
	Level Level
	// Limit is the stored size at which Full says so; MaxChunk where it is zero, at most MaxObject.
	Limit int
}

// Sealed is a finished object, ready to be created under its name.
type Sealed struct {
	Name Name
	// Data is the whole object. It belongs to the caller.
	Data []byte
	// Digest is the sha256 of Data; Directory that of its directory (for a key partition, of its header).
	Digest, Directory Digest
	// Documents and Raw count the documents (or entries) in it and their bytes before compression.
	Documents, Raw int64
}

// Size gives the stored size.
func (s Sealed) Size() int64 { return int64(len(s.Data)) }

// Writer makes containers, one after the other. It belongs to one goroutine.
type Writer struct {
	options WriterOptions
	encode  func(raw, stored []byte) []byte
	object  []byte
	frames  []Frame
	// raw holds the documents of the open frame, back buffers the read-back.
	raw, back  []byte
	collection int
	open       int // documents in the open frame
	documents  int64
	rawTotal   int64
	// lastSize is that of the object before, the best guess for this one.
	lastSize int
	err      error
}

// NewWriter makes a writer, ready for its first container.
func NewWriter(options WriterOptions) (*Writer, error) {
	if options.Limit <= 0 {
		options.Limit = MaxChunk
	}
	options.Limit = min(options.Limit, MaxObject)
	encoder, err := newEncoder(options.Level)
	if err != nil {
		return nil, err
	}
	return &Writer{options: options, encode: encoder.EncodeAll}, nil
}

// Append adds a document of a collection (0 where collections play no part) and gives the number of the frame that will
// hold it. The document is copied. One that is not well-formed BSON is refused with kind corrupt, one that is too large,
// or one too many for a container, with kind limit; the writer stays usable after these.
func (w *Writer) Append(collection int, document bson.Raw) (frame int, err error) {
	if w.err != nil {
		return 0, w.err
	}
	if len(document) > MaxDocument || collection < 0 || collection >= MaxCollections {
		return 0, pitr.Errorf(pitr.KindLimit, "append a document", "",
			"a document of %d bytes in collection %d", len(document), collection)
	}
	if err := ValidateDocument(document); err != nil {
		return 0, pitr.Errorf(pitr.KindCorrupt, "append a document", "", "%w", err)
	}
	if w.open > 0 && (collection != w.collection || len(w.raw)+len(document) > frameTarget) {
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	if len(w.frames) == MaxFrames {
		return 0, pitr.Errorf(pitr.KindLimit, "append a document", "", "a container has at most %d frames", MaxFrames)
	}
	w.collection = collection
	w.raw = append(w.raw, document...)
	w.open++
	w.documents++
	w.rawTotal += int64(len(document))
	return len(w.frames), nil
}

// flush compresses the open frame and proves that it reads back to the same bytes.
func (w *Writer) flush() error {
	if w.open == 0 {
		return nil
	}
	if w.object == nil {
		w.object = make([]byte, 0, w.lastSize)
	}
	offset := len(w.object)
	w.object = w.encode(w.raw, w.object)
	stored := w.object[offset:]
	back, err := decodeFrame(stored, len(w.raw), w.back)
	if err == nil && !bytes.Equal(back, w.raw) {
		err = fmt.Errorf("it reads back to other bytes")
	}
	if err != nil {
		w.err = pitr.Errorf(pitr.KindCorrupt, "compress a frame",
			"check this machine's memory, then run the command again: nothing was stored", "%w", err)
		return w.err
	}
	w.frames = append(w.frames, Frame{
		Offset: offset, Stored: len(stored), Raw: len(w.raw),
		Documents: w.open, Collection: w.collection, Hash: frameHash(stored),
	})
	w.back, w.raw, w.open = back, w.raw[:0], 0
	return nil
}

// Documents gives the number of documents appended since the last Finish or Reset.
func (w *Writer) Documents() int64 { return w.documents }

// Raw gives their bytes.
func (w *Writer) Raw() int64 { return w.rawTotal }

// Stored gives the compressed size of the closed frames.
func (w *Writer) Stored() int { return len(w.object) }

// Full reports whether another frame could take the object over its limit: Finish now. A single document that compresses
// badly can still take it over.
func (w *Writer) Full() bool {
	if len(w.frames)+1 >= MaxFrames {
		return true
	}
	// The open frame and one more may not compress at all; the directory takes about 80 bytes a frame.
	return len(w.object)+len(w.raw)+frameTarget+(len(w.frames)+2)*80+4096 > w.options.Limit
}

// Finish closes the container under its name, with facts that may be nil, and makes the writer ready for the next one.
// After an error the writer must be Reset.
func (w *Writer) Finish(name Name, facts bson.Raw) (Sealed, error) {
	if !name.kind.IsContainer() {
		return Sealed{}, pitr.Errorf(pitr.KindUnexpected, "finish a container", "", "%q is not the name of one", name.text)
	}
	if w.err == nil {
		w.err = w.flush()
	}
	if w.err != nil {
		return Sealed{}, w.err
	}
	if len(facts) > maxDirectory/2 {
		return Sealed{}, pitr.Errorf(pitr.KindLimit, "finish "+name.text, "", "facts of %d bytes", len(facts))
	}
	if err := ValidateDocument(facts); facts != nil && err != nil {
		return Sealed{}, pitr.Errorf(pitr.KindUnexpected, "finish "+name.text, "", "the facts: %w", err)
	}
	sealed := Sealed{Name: name, Documents: w.documents, Raw: w.rawTotal}
	sealed.Data, sealed.Directory = appendDirectory(w.object, name, w.frames, facts)
	if len(sealed.Data) > MaxObject {
		return Sealed{}, pitr.Errorf(pitr.KindLimit, "finish "+name.text, "", "an object of %d bytes", len(sealed.Data))
	}
	sealed.Digest = Sum(sealed.Data)
	w.lastSize = len(sealed.Data) + len(sealed.Data)/16
	w.Reset()
	return sealed, nil
}

// Reset throws away what was appended and makes the writer ready for a new container.
func (w *Writer) Reset() {
	// The object's bytes were handed out with the last Finish.
	w.object, w.frames, w.raw = nil, w.frames[:0], w.raw[:0]
	w.open, w.documents, w.rawTotal, w.err = 0, 0, 0, nil
}
