package users

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/auth"
	"pitr/internal/replsim/command"
)

var errAuthentication = command.Errorf(18, "Authentication failed.")

// credential gives what is kept of a user's password for a mechanism.
func (us *Users) credential(db, user string, m auth.Mechanism) (auth.Credential, error) {
	var c auth.Credential
	doc, ok := us.find(usersNS, db+"."+user).Lookup("credentials", string(m)).DocumentOK()
	if !ok {
		return c, errors.New("no such user")
	}
	return c, bson.Unmarshal(doc, &c)
}

func (us *Users) saslStart(_ context.Context, r *command.Request, out *command.Reply) error {
	m := auth.Mechanism(r.Text("mechanism"))
	conversation, err := m.Begin(us.conversations.Add(1), r.DB, func(user string) (auth.Credential, error) {
		return us.credential(r.DB, user, m)
	})
	if err != nil {
		return command.Errorf(334, "Received authentication for mechanism %s which is unknown or not enabled", m)
	}
	if options, _ := r.Lookup("options").DocumentOK(); command.Truth(options.Lookup("skipEmptyExchange")) {
		conversation.SkipEmpty()
	}
	r.Client.Conversation = conversation
	return us.saslStep(r, out)
}

func (us *Users) saslContinue(_ context.Context, r *command.Request, out *command.Reply) error {
	id, _ := r.Lookup("conversationId").AsInt64OK()
	if c := r.Client.Conversation; c == nil || int64(c.ID) != id {
		return command.Errorf(17, "No SASL session state found")
	}
	return us.saslStep(r, out)
}

func (us *Users) saslStep(r *command.Request, out *command.Reply) error {
	c := r.Client.Conversation
	_, payload, _ := r.Lookup("payload").BinaryOK()
	answer, done, err := c.Step(string(payload))
	if err != nil {
		r.Client.Conversation = nil
		return errAuthentication
	}
	if done || answer == "" {
		r.Client.Login = &auth.Login{User: c.User(), DB: c.DB}
		us.Refresh(r.Client.Login)
		r.Client.Conversation = nil
		done = true
	}
	out.Int32("conversationId", int(c.ID))
	out.Set("done", done)
	out.Set("payload", bson.Binary{Data: []byte(answer)})
	return nil
}
