package wire

import (
	"encoding/binary"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Begin opens the answer to a message in a buffer and gives the buffer; the caller appends one document and calls Finish.
func Begin(buffer []byte, to Message) []byte {
	buffer = append(buffer[:0], 0, 0, 0, 0)
	buffer = binary.LittleEndian.AppendUint32(buffer, uint32(to.RequestID)+1<<30) //nolint:gosec // any number will do
	buffer = binary.LittleEndian.AppendUint32(buffer, uint32(to.RequestID))       //nolint:gosec // signed in the protocol
	if to.Code == OpQuery {
		buffer = binary.LittleEndian.AppendUint32(buffer, uint32(OpReply))
		// flags "await capable", cursor 0, start 0, one document
		buffer = append(buffer, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		return append(buffer, 1, 0, 0, 0)
	}
	buffer = binary.LittleEndian.AppendUint32(buffer, uint32(OpMsg))
	// flags, then a section of kind 0
	return append(buffer, 0, 0, 0, 0, 0)
}

// Finish completes the answer; a client that sent a checksum gets one.
func Finish(buffer []byte, to Message) []byte {
	if to.Code == OpMsg && to.Flags&FlagChecksum != 0 {
		binary.LittleEndian.PutUint32(buffer[headerSize:], FlagChecksum)
		binary.LittleEndian.PutUint32(buffer, uint32(len(buffer)+4)) //nolint:gosec // far below 4 GiB
		return binary.LittleEndian.AppendUint32(buffer, Checksum(buffer))
	}
	binary.LittleEndian.PutUint32(buffer, uint32(len(buffer))) //nolint:gosec // far below 4 GiB
	return buffer
}

// AppendRequest writes an OP_MSG as a client sends it, for tests that speak the protocol without a driver.
func AppendRequest(buffer []byte, m Message) []byte {
	start := len(buffer)
	buffer = append(buffer, 0, 0, 0, 0)
	buffer = binary.LittleEndian.AppendUint32(buffer, uint32(m.RequestID)) //nolint:gosec // signed in the protocol
	buffer = append(buffer, 0, 0, 0, 0)
	buffer = binary.LittleEndian.AppendUint32(buffer, uint32(OpMsg))
	buffer = binary.LittleEndian.AppendUint32(buffer, m.Flags)
	buffer = append(append(buffer, 0), m.Body...)
	for _, sequence := range m.Sequences {
		buffer = append(buffer, 1)
		at := len(buffer)
		buffer = append(append(append(buffer, 0, 0, 0, 0), sequence.Name...), 0)
		for _, document := range sequence.Documents {
			buffer = append(buffer, document...)
		}
		binary.LittleEndian.PutUint32(buffer[at:], uint32(len(buffer)-at)) //nolint:gosec // far below 4 GiB
	}
	size := len(buffer) - start
	if m.Flags&FlagChecksum != 0 {
		binary.LittleEndian.PutUint32(buffer[start:], uint32(size+4)) //nolint:gosec // far below 4 GiB
		return binary.LittleEndian.AppendUint32(buffer, Checksum(buffer[start:]))
	}
	binary.LittleEndian.PutUint32(buffer[start:], uint32(size)) //nolint:gosec // far below 4 GiB
	return buffer
}

// ParseReply reads the document of an answer that Read cannot take, because it goes the other way; content is the whole
// message with its header.
func ParseReply(content []byte) (bson.Raw, error) {
	if OpCode(int32(binary.LittleEndian.Uint32(content[12:]))) == OpReply { //nolint:gosec // signed in the protocol
		document, _, err := takeDocument(content[headerSize+20:])
		return document, err
	}
	m, err := parse(content)
	return m.Body, err
}
