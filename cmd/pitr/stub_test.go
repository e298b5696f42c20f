package main

import (
	"bufio"
	"net"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/wire"
)

// startStub runs a server that only says what it is: the fields of its hello decide whether that is a router of a sharded
// cluster or a lonely server. Every other command is unknown to it. It gives the connection string.
func startStub(t testing.TB, hello bson.D) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = connection.Close() })
			go serveStub(connection, hello)
		}
	}()
	return "mongodb://" + listener.Addr().String() + "/"
}

func serveStub(connection net.Conn, hello bson.D) {
	in := bufio.NewReader(connection)
	for {
		message, err := wire.Read(in)
		if err != nil {
			return
		}
		document, err := bson.Marshal(stubReply(message.Body, hello))
		if err != nil {
			return
		}
		if _, err := connection.Write(wire.Finish(append(wire.Begin(nil, message), document...), message)); err != nil {
			return
		}
	}
}

func stubReply(command bson.Raw, hello bson.D) bson.D {
	elements, err := command.Elements()
	if err != nil || len(elements) == 0 {
		return bson.D{{Key: "ok", Value: 0}}
	}
	switch elements[0].Key() {
	case "hello", "isMaster", "ismaster":
		return append(bson.D{{Key: "isWritablePrimary", Value: true}, {Key: "ismaster", Value: true}, {Key: "helloOk", Value: true},
			{Key: "maxBsonObjectSize", Value: 16 << 20}, {Key: "maxMessageSizeBytes", Value: 48 << 20}, {Key: "maxWriteBatchSize", Value: 100000},
			{Key: "minWireVersion", Value: 0}, {Key: "maxWireVersion", Value: 21}, {Key: "ok", Value: 1}}, hello...)
	case "buildInfo":
		return bson.D{{Key: "version", Value: "7.0.5"}, {Key: "versionArray", Value: bson.A{7, 0, 5, 0}}, {Key: "ok", Value: 1}}
	}
	return bson.D{{Key: "ok", Value: 0}, {Key: "code", Value: 59}, {Key: "codeName", Value: "CommandNotFound"}, {Key: "errmsg", Value: "no such command"}}
}
