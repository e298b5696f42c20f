package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/wire"
)

func doc(t *testing.T, d bson.D) bson.Raw {
	t.Helper()
	raw, err := bson.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestReadTakesBodySequencesAndChecksum(t *testing.T) {
	body := doc(t, bson.D{{Key: "insert", Value: "c"}, {Key: "$db", Value: "d"}})
	one, two := doc(t, bson.D{{Key: "_id", Value: 1}}), doc(t, bson.D{{Key: "_id", Value: 2}})
	sent := wire.Message{
		RequestID: 7, Flags: wire.FlagChecksum, Body: body,
		Sequences: []wire.Sequence{{Name: "documents", Documents: []bson.Raw{one, two}}},
	}
	content := wire.AppendRequest(nil, sent)
	got, err := wire.Read(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if got.RequestID != 7 || !bytes.Equal(got.Body, body) || len(got.Sequences) != 1 || got.Sequences[0].Name != "documents" ||
		len(got.Sequences[0].Documents) != 2 || !bytes.Equal(got.Sequences[0].Documents[1], two) {
		t.Fatalf("read %+v", got)
	}
	for i := 16; i < len(content)-4; i++ {
		damaged := bytes.Clone(content)
		damaged[i] ^= 1
		if _, err := wire.Read(bytes.NewReader(damaged)); err == nil {
			t.Fatalf("a flipped bit in byte %d was accepted", i)
		}
	}
	if _, err := wire.Read(bytes.NewReader(content[:20])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("a cut message: %v", err)
	}
}

func TestReadRefusesWhatItDoesNotKnow(t *testing.T) {
	good := wire.AppendRequest(nil, wire.Message{Body: doc(t, bson.D{{Key: "ping", Value: 1}, {Key: "$db", Value: "d"}})})
	for name, change := range map[string]func([]byte){
		"operation code":        func(m []byte) { binary.LittleEndian.PutUint32(m[12:], uint32(wire.OpCompressed)) },
		"required flag":         func(m []byte) { m[16] |= 4 },
		"section kind":          func(m []byte) { m[20] = 2 },
		"length below a header": func(m []byte) { binary.LittleEndian.PutUint32(m, 15) },
		"length above the top":  func(m []byte) { binary.LittleEndian.PutUint32(m, wire.MaxMessageSize+1) },
		"document length":       func(m []byte) { binary.LittleEndian.PutUint32(m[21:], 1<<30) },
	} {
		m := bytes.Clone(good)
		change(m)
		if _, err := wire.Read(bytes.NewReader(m)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestOldHandshakeIsAnsweredInItsOwnForm(t *testing.T) {
	var m []byte
	m = binary.LittleEndian.AppendUint32(m, 0)
	m = append(m, 9, 0, 0, 0, 0, 0, 0, 0)
	m = binary.LittleEndian.AppendUint32(m, uint32(wire.OpQuery))
	m = append(m, 0, 0, 0, 0)
	m = append(m, "admin.$cmd\x00"...)
	m = append(m, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff)
	m = append(m, doc(t, bson.D{{Key: "isMaster", Value: 1}})...)
	binary.LittleEndian.PutUint32(m, uint32(len(m)))
	got, err := wire.Read(bytes.NewReader(m))
	if err != nil || got.Namespace != "admin.$cmd" {
		t.Fatalf("read %+v, %v", got, err)
	}
	reply := append(wire.Begin(nil, got), doc(t, bson.D{{Key: "ok", Value: 1.0}})...)
	reply = wire.Finish(reply, got)
	if code := binary.LittleEndian.Uint32(reply[12:]); wire.OpCode(code) != wire.OpReply {
		t.Fatalf("answered with code %d", code)
	}
	document, err := wire.ParseReply(reply)
	if err != nil || document.Lookup("ok").Double() != 1 {
		t.Fatalf("reply %v, %v", document, err)
	}
}

func FuzzRead(f *testing.F) {
	body, err := bson.Marshal(bson.D{{Key: "insert", Value: "c"}, {Key: "$db", Value: "d"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire.AppendRequest(nil, wire.Message{Body: body}))
	f.Add(wire.AppendRequest(nil, wire.Message{Flags: wire.FlagChecksum, Body: body, Sequences: []wire.Sequence{{Name: "documents", Documents: []bson.Raw{body}}}}))
	f.Fuzz(func(_ *testing.T, content []byte) {
		for r := bytes.NewReader(content); ; {
			if _, err := wire.Read(r); err != nil {
				return
			}
		}
	})
}
