package replsim_test

import (
	"encoding/binary"
	"io"
	"net"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/wire"
)

// rawClient speaks the protocol without a driver, with checksums.
type rawClient struct {
	t    *testing.T
	conn net.Conn
	next int32
}

func dialRaw(t *testing.T, host string) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	return &rawClient{t: t, conn: conn}
}

func (c *rawClient) close() { _ = c.conn.Close() }

// run sends a command and gives the reply.
func (c *rawClient) run(db string, command bson.Raw) bson.Raw {
	c.t.Helper()
	reply, err := c.try(db, command)
	if err != nil {
		c.t.Errorf("%.200s: %v", command, err)
		return bson.Raw{5, 0, 0, 0, 0}
	}
	return reply
}

func (c *rawClient) try(db string, command bson.Raw) (bson.Raw, error) {
	body := append([]byte(nil), command[:len(command)-1]...)
	body = append(body, byte(bson.TypeString))
	body = append(body, "$db\x00"...)
	body = binary.LittleEndian.AppendUint32(body, uint32(len(db)+1))
	body = append(append(body, db...), 0, 0)
	binary.LittleEndian.PutUint32(body, uint32(len(body)))
	c.next++
	if _, err := c.conn.Write(wire.AppendRequest(nil, wire.Message{RequestID: c.next, Flags: wire.FlagChecksum, Body: body})); err != nil {
		return nil, err
	}
	header := make([]byte, 4)
	if _, err := io.ReadFull(c.conn, header); err != nil {
		return nil, err
	}
	content := make([]byte, binary.LittleEndian.Uint32(header))
	copy(content, header)
	if _, err := io.ReadFull(c.conn, content[4:]); err != nil {
		return nil, err
	}
	return wire.ParseReply(content)
}
