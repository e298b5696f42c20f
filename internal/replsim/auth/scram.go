package auth

import (
	"crypto/md5" //nolint:gosec // what SCRAM-SHA-1 of this server family is defined with
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/xdg-go/scram"
)

// Mechanism is a way of proving a password.
type Mechanism string

// The mechanisms.
const (
	SHA1   Mechanism = "SCRAM-SHA-1"
	SHA256 Mechanism = "SCRAM-SHA-256"
)

// Mechanisms are all of them, in the order in which the server lists them.
var Mechanisms = []Mechanism{SHA1, SHA256}

// Credential is what the server keeps of a password, as its user documents show it.
type Credential struct {
	IterationCount int32  `bson:"iterationCount"`
	Salt           string `bson:"salt"`
	StoredKey      string `bson:"storedKey"`
	ServerKey      string `bson:"serverKey"`
}

func (m Mechanism) hash() (scram.HashGeneratorFcn, int, int) {
	if m == SHA1 {
		return scram.SHA1, 10000, 16
	}
	return scram.SHA256, 15000, 28
}

// NewCredential makes what is kept of a password.
func (m Mechanism) NewCredential(user, password string) (Credential, error) {
	hash, iterations, size := m.hash()
	salt := make([]byte, size)
	_, _ = rand.Read(salt) // never fails
	secret := password
	if m == SHA1 {
		digest := md5.Sum([]byte(user + ":mongo:" + password)) //nolint:gosec // see the import
		secret = hex.EncodeToString(digest[:])
	}
	client, err := hash.NewClientUnprepped(user, secret, "")
	if err != nil {
		return Credential{}, fmt.Errorf("make a credential: %w", err)
	}
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: iterations})
	if err != nil {
		return Credential{}, fmt.Errorf("make a credential: %w", err)
	}
	text := base64.StdEncoding.EncodeToString
	return Credential{
		IterationCount: int32(iterations), Salt: text(salt), StoredKey: text(stored.StoredKey), ServerKey: text(stored.ServerKey), //nolint:gosec // a constant
	}, nil
}

// Conversation is a login in progress.
type Conversation struct {
	ID        int32
	DB        string
	steps     *scram.ServerConversation
	skipEmpty bool
	finished  bool
}

// Begin opens a login. lookup gives what is kept of a user's password.
func (m Mechanism) Begin(id int32, db string, lookup func(user string) (Credential, error)) (*Conversation, error) {
	if m != SHA1 && m != SHA256 {
		return nil, errors.New("an unknown mechanism")
	}
	hash, _, _ := m.hash()
	server, err := hash.NewServer(func(user string) (scram.StoredCredentials, error) {
		c, err := lookup(user)
		if err != nil {
			return scram.StoredCredentials{}, err
		}
		return c.stored()
	})
	if err != nil {
		return nil, err
	}
	return &Conversation{ID: id, DB: db, steps: server.NewConversation()}, nil
}

func (c Credential) stored() (scram.StoredCredentials, error) {
	salt, err := base64.StdEncoding.DecodeString(c.Salt)
	if err != nil {
		return scram.StoredCredentials{}, err
	}
	storedKey, err := base64.StdEncoding.DecodeString(c.StoredKey)
	if err != nil {
		return scram.StoredCredentials{}, err
	}
	serverKey, err := base64.StdEncoding.DecodeString(c.ServerKey)
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(salt), Iters: int(c.IterationCount)}, StoredKey: storedKey, ServerKey: serverKey,
	}, err
}

// SkipEmpty lets the conversation end without the empty exchange at its end.
func (c *Conversation) SkipEmpty() { c.skipEmpty = true }

// Step takes a message of the client and gives the answer, and whether the login is complete.
func (c *Conversation) Step(message string) (answer string, done bool, err error) {
	if c.finished {
		return "", true, nil
	}
	if answer, err = c.steps.Step(message); err != nil {
		return "", false, err
	}
	if c.steps.Done() {
		if !c.steps.Valid() {
			return "", false, errors.New("the proof is wrong")
		}
		c.finished = true
	}
	return answer, c.finished && c.skipEmpty, nil
}

// User is who logs in.
func (c *Conversation) User() string { return c.steps.Username() }
