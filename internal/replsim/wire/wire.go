// Package wire reads and writes messages of the MongoDB wire protocol.
//
// A message is a 16 byte header (length, request id, id of the request it answers, operation code) and a body. Three kinds
// come in: OP_MSG with a body document, document sequences and an optional checksum; OP_QUERY, which old handshakes still
// use on "admin.$cmd"; everything else is refused. Two kinds go out: OP_MSG and, as the answer to OP_QUERY, OP_REPLY.
//
// The package knows bytes only: no command, no session, no compression.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// OpCode is the kind of a message.
type OpCode int32

// The kinds that matter here.
const (
	OpReply      OpCode = 1
	OpQuery      OpCode = 2004
	OpCompressed OpCode = 2012
	OpMsg        OpCode = 2013
)

// Flags of OP_MSG.
const (
	FlagChecksum   uint32 = 1 << 0
	FlagMoreToCome uint32 = 1 << 1
	FlagExhaust    uint32 = 1 << 16
)

const (
	headerSize = 16
	// MaxMessageSize is what hello promises as maxMessageSizeBytes.
	MaxMessageSize = 48000000
	// maxRequired is the part of the OP_MSG flags that a receiver must understand or refuse.
	maxRequired = 1<<16 - 1
)

// ErrChecksum is a message whose checksum does not fit its bytes.
var ErrChecksum = errors.New("OP_MSG checksum does not match contents")

// Sequence is a named list of documents beside the body of an OP_MSG.
type Sequence struct {
	Name      string
	Documents []bson.Raw
}

// Message is one message from a client. Documents point into the message's own memory.
type Message struct {
	RequestID int32
	Code      OpCode
	Flags     uint32
	// Namespace is the full collection name of OP_QUERY, empty for OP_MSG.
	Namespace string
	Body      bson.Raw
	Sequences []Sequence
}

// Wants reports whether the client waits for an answer.
func (m Message) Wants() bool { return m.Flags&FlagMoreToCome == 0 || m.Code != OpMsg }

// Read takes the next message from a connection. io.EOF means that the client closed between two messages.
func Read(r io.Reader) (Message, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return Message{}, err
	}
	length := int32(binary.LittleEndian.Uint32(header[:])) //nolint:gosec // the protocol's lengths are signed
	if length < headerSize || length > MaxMessageSize {
		return Message{}, fmt.Errorf("a message of %d bytes", length)
	}
	content := make([]byte, length)
	copy(content, header[:])
	if _, err := io.ReadFull(r, content[headerSize:]); err != nil {
		return Message{}, fmt.Errorf("read a message: %w", err)
	}
	return parse(content)
}

func parse(content []byte) (Message, error) {
	m := Message{
		RequestID: int32(binary.LittleEndian.Uint32(content[4:])),          //nolint:gosec // signed in the protocol
		Code:      OpCode(int32(binary.LittleEndian.Uint32(content[12:]))), //nolint:gosec // signed in the protocol
	}
	switch m.Code {
	case OpMsg:
		return m, m.parseMsg(content)
	case OpQuery:
		return m, m.parseQuery(content[headerSize:])
	}
	return m, fmt.Errorf("operation code %d is not supported", m.Code)
}

func (m *Message) parseMsg(content []byte) error {
	if len(content) < headerSize+4 {
		return errors.New("OP_MSG without flags")
	}
	m.Flags = binary.LittleEndian.Uint32(content[headerSize:])
	if unknown := m.Flags & maxRequired &^ (FlagChecksum | FlagMoreToCome); unknown != 0 {
		return fmt.Errorf("OP_MSG flags %#x are not known", unknown)
	}
	if m.Flags&FlagChecksum != 0 {
		if len(content) < headerSize+8 {
			return errors.New("OP_MSG without its checksum")
		}
		end := len(content) - 4
		if Checksum(content[:end]) != binary.LittleEndian.Uint32(content[end:]) {
			return ErrChecksum
		}
		content = content[:end]
	}
	rest := content[headerSize+4:]
	for len(rest) > 0 {
		kind := rest[0]
		var err error
		switch kind {
		case 0:
			rest, err = m.takeBody(rest[1:])
		case 1:
			rest, err = m.takeSequence(rest[1:])
		default:
			err = fmt.Errorf("OP_MSG section of kind %d", kind)
		}
		if err != nil {
			return err
		}
	}
	if m.Body == nil {
		return errors.New("OP_MSG without a body")
	}
	return nil
}

func (m *Message) takeBody(rest []byte) ([]byte, error) {
	if m.Body != nil {
		return nil, errors.New("OP_MSG with two bodies")
	}
	document, rest, err := takeDocument(rest)
	if err != nil {
		return nil, err
	}
	if err := document.Validate(); err != nil {
		return nil, fmt.Errorf("OP_MSG body: %w", err)
	}
	m.Body = document
	return rest, nil
}

func (m *Message) takeSequence(rest []byte) ([]byte, error) {
	if len(rest) < 4 {
		return nil, errors.New("OP_MSG with a short sequence")
	}
	size := int(binary.LittleEndian.Uint32(rest))
	if size < 4 || size > len(rest) {
		return nil, fmt.Errorf("OP_MSG sequence of %d bytes", size)
	}
	section, rest := rest[4:size], rest[size:]
	name, section, err := takeString(section)
	if err != nil {
		return nil, err
	}
	sequence := Sequence{Name: name}
	for len(section) > 0 {
		var document bson.Raw
		if document, section, err = takeDocument(section); err != nil {
			return nil, err
		}
		sequence.Documents = append(sequence.Documents, document)
	}
	m.Sequences = append(m.Sequences, sequence)
	return rest, nil
}

func (m *Message) parseQuery(rest []byte) error {
	if len(rest) < 4 {
		return errors.New("OP_QUERY without flags")
	}
	name, rest, err := takeString(rest[4:])
	if err != nil {
		return err
	}
	if len(rest) < 8 {
		return errors.New("OP_QUERY without numbers")
	}
	m.Namespace = name
	m.Body, _, err = takeDocument(rest[8:])
	return err
}

func takeString(content []byte) (string, []byte, error) {
	for i, b := range content {
		if b == 0 {
			return string(content[:i]), content[i+1:], nil
		}
	}
	return "", nil, errors.New("a name without an end")
}

func takeDocument(content []byte) (bson.Raw, []byte, error) {
	if len(content) < 5 {
		return nil, nil, errors.New("a document that is cut off")
	}
	size := int(binary.LittleEndian.Uint32(content))
	if size < 5 || size > len(content) || content[size-1] != 0 {
		return nil, nil, fmt.Errorf("a document of %d bytes", size)
	}
	return bson.Raw(content[:size:size]), content[size:], nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is what an OP_MSG carries after its sections, over all bytes before it.
func Checksum(content []byte) uint32 { return crc32.Checksum(content, castagnoli) }
