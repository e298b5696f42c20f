// Package users holds the commands about logins: SCRAM conversations, users, roles and connectionStatus.
//
// Users and roles are documents of admin.system.users and admin.system.roles, as on a server, so that their changes are in
// the oplog. What a login may do follows from its roles at the time of each command.
package users

import (
	"context"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/auth"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql/value"
	"pitr/internal/replsim/store"
	"pitr/internal/replsim/write"
)

const (
	usersNS = "admin.system.users"
	rolesNS = "admin.system.roles"
)

// Users runs the commands of one server.
type Users struct {
	Store *store.Store
	// Session makes the session id of transactions of the server's own.
	Session func() store.Session

	conversations atomic.Int32
	// version counts the changes of users and roles.
	version atomic.Int64
}

// Commands are the commands of this package.
func (us *Users) Commands() []*command.Command {
	return []*command.Command{
		{Name: "saslStart", Open: true, Run: us.saslStart},
		{Name: "saslContinue", Open: true, Run: us.saslContinue},
		{Name: "logout", Open: true, Run: func(_ context.Context, r *command.Request, _ *command.Reply) error {
			r.Client.Login = nil
			return nil
		}},
		{Name: "connectionStatus", Open: true, Run: us.connectionStatus},
		{Name: "createUser", Effect: command.Changes, Needs: onDatabase("createUser"), Run: us.createUser},
		{Name: "updateUser", Effect: command.Changes, Needs: onDatabase("changePassword"), Run: us.updateUser},
		{Name: "dropUser", Effect: command.Changes, Needs: onDatabase("dropUser"), Run: us.dropUser},
		{Name: "grantRolesToUser", Effect: command.Changes, Needs: onDatabase("grantRole"), Run: us.changeRoles},
		{Name: "revokeRolesFromUser", Effect: command.Changes, Needs: onDatabase("revokeRole"), Run: us.changeRoles},
		{Name: "usersInfo", Needs: onDatabase("viewUser"), Run: us.usersInfo},
		{Name: "createRole", Effect: command.Changes, Needs: onDatabase("createRole"), Run: us.createRole},
		{Name: "dropRole", Effect: command.Changes, Needs: onDatabase("dropRole"), Run: us.dropRole},
		{Name: "rolesInfo", Needs: onDatabase("viewRole"), Run: us.rolesInfo},
	}
}

func onDatabase(action string) func(*command.Request) []auth.Need {
	return func(r *command.Request) []auth.Need {
		return []auth.Need{{Resource: auth.Namespace(r.DB, ""), Action: action}}
	}
}

// find gives a document by _id, nil if there is none.
func (us *Users) find(ns, id string) bson.Raw {
	var doc bson.Raw
	us.Store.View(func() { _, doc = us.record(ns, id) })
	return doc
}

func (us *Users) record(ns, id string) (*store.Record, bson.Raw) {
	c := us.Store.Find(ns, store.Latest)
	if c == nil {
		return nil, nil
	}
	_, content, err := bson.MarshalValue(id)
	if err != nil {
		return nil, nil
	}
	return c.ByID(bson.RawValue{Type: bson.TypeString, Value: content}, store.Latest)
}

// change runs a write of users or roles.
func (us *Users) change(ctx context.Context, r *command.Request, run func(u *store.Unit, users, roles *store.Collection) error) error {
	defer us.version.Add(1)
	return us.Store.Retry(ctx, func() error {
		u := us.Store.Begin()
		u.Bypass = write.MayBypass(r)
		if err := run(u, us.Store.Find(usersNS, store.Latest), us.Store.Find(rolesNS, store.Latest)); err != nil {
			u.Abort()
			return err
		}
		if last := u.Commit(); !last.IsZero() && r.Client != nil {
			r.Client.LastOp = last
		}
		return nil
	})
}

// NewUser is a user to create.
type NewUser struct {
	Name, Password, DB string
	Roles              []auth.RoleName
	CustomData         bson.Raw
}

// document is the user as admin.system.users holds it.
func (n NewUser) document(id bson.Binary) (bson.Raw, error) {
	credentials := bson.D{}
	for _, m := range auth.Mechanisms {
		c, err := m.NewCredential(n.Name, n.Password)
		if err != nil {
			return nil, err
		}
		credentials = append(credentials, bson.E{Key: string(m), Value: c})
	}
	d := bson.D{
		{Key: "_id", Value: n.DB + "." + n.Name}, {Key: "userId", Value: id}, {Key: "user", Value: n.Name}, {Key: "db", Value: n.DB},
		{Key: "credentials", Value: credentials},
	}
	if n.CustomData != nil {
		d = append(d, bson.E{Key: "customData", Value: n.CustomData})
	}
	return value.Marshal(append(d, bson.E{Key: "roles", Value: roleList(n.Roles)})), nil
}

func roleList(roles []auth.RoleName) bson.A {
	list := bson.A{}
	for _, role := range roles {
		list = append(list, bson.D{{Key: "role", Value: role.Role}, {Key: "db", Value: role.DB}})
	}
	return list
}

// Create adds a user.
func (us *Users) Create(ctx context.Context, r *command.Request, n NewUser) error {
	doc, err := n.document(us.Store.NewUUID().Binary())
	if err != nil {
		return err
	}
	return us.change(ctx, r, func(u *store.Unit, users, _ *store.Collection) error {
		if _, known := us.record(usersNS, n.DB+"."+n.Name); known != nil {
			return command.Errorf(51003, "User \"%s@%s\" already exists", n.Name, n.DB)
		}
		_, err := u.Insert(users, doc, store.Note{})
		return err
	})
}

func (us *Users) createUser(ctx context.Context, r *command.Request, _ *command.Reply) error {
	name, _ := r.Argument().StringValueOK()
	roles, err := us.parseRoles(r)
	if err != nil {
		return err
	}
	custom, err := r.Document("customData")
	if err != nil {
		return err
	}
	if r.Text("pwd") == "" {
		return command.Errorf(command.BadValue, "Must provide a 'pwd' field for all user documents, except those with '$external' as the user's source db")
	}
	return us.Create(ctx, r, NewUser{Name: name, Password: r.Text("pwd"), DB: r.DB, Roles: roles, CustomData: custom})
}

// parseRoles reads role names: a string is a role of the command's database.
func (us *Users) parseRoles(r *command.Request) ([]auth.RoleName, error) {
	array, ok := r.Lookup("roles").ArrayOK()
	if !ok {
		return nil, command.Errorf(40414, "BSON field '%s.roles' is missing but a required field", r.Command.Name)
	}
	values, err := array.Values()
	if err != nil {
		return nil, err
	}
	roles := []auth.RoleName{}
	for _, v := range values {
		role := auth.RoleName{DB: r.DB}
		if doc, isDoc := v.DocumentOK(); isDoc {
			role.Role, _ = doc.Lookup("role").StringValueOK()
			role.DB, _ = doc.Lookup("db").StringValueOK()
		} else {
			role.Role, _ = v.StringValueOK()
		}
		if _, known := us.privileges(role); !known {
			return nil, command.Errorf(31, "Could not find role: %s@%s", role.Role, role.DB)
		}
		roles = append(roles, role)
	}
	return roles, nil
}

// replace writes a user's document with some fields changed.
func (us *Users) replace(ctx context.Context, r *command.Request, changed bson.D) error {
	name, _ := r.Argument().StringValueOK()
	return us.change(ctx, r, func(u *store.Unit, users, _ *store.Collection) error {
		record, doc := us.record(usersNS, r.DB+"."+name)
		if record == nil {
			return command.Errorf(11, "Could not find user \"%s\" for db \"%s\"", name, r.DB)
		}
		d := value.Fields(doc)
		for _, e := range changed {
			for i := range d {
				if d[i].Key == e.Key {
					d[i].Value = e.Value
				}
			}
		}
		o := value.Marshal(bson.D{{Key: "$v", Value: int32(2)}, {Key: "diff", Value: bson.D{{Key: "u", Value: changed}}}})
		return u.Replace(users, record, store.Change{After: value.Marshal(d), O: o})
	})
}

func (us *Users) updateUser(ctx context.Context, r *command.Request, _ *command.Reply) error {
	name, _ := r.Argument().StringValueOK()
	changed := bson.D{}
	if password := r.Text("pwd"); password != "" {
		doc, err := NewUser{Name: name, Password: password, DB: r.DB}.document(us.Store.NewUUID().Binary())
		if err != nil {
			return err
		}
		changed = append(changed, bson.E{Key: "credentials", Value: doc.Lookup("credentials")})
	}
	if r.Lookup("roles").Type != 0 {
		roles, err := us.parseRoles(r)
		if err != nil {
			return err
		}
		changed = append(changed, bson.E{Key: "roles", Value: roleList(roles)})
	}
	if len(changed) == 0 {
		return command.Errorf(command.BadValue, "Must specify at least one field to update in updateUser")
	}
	return us.replace(ctx, r, changed)
}

// changeRoles grants or revokes roles.
func (us *Users) changeRoles(ctx context.Context, r *command.Request, _ *command.Reply) error {
	roles, err := us.parseRoles(r)
	if err != nil {
		return err
	}
	name, _ := r.Argument().StringValueOK()
	present := rolesOf(us.find(usersNS, r.DB+"."+name))
	var kept []auth.RoleName
	for _, role := range present {
		if !contains(roles, role) {
			kept = append(kept, role)
		}
	}
	if r.Command.Name == "grantRolesToUser" {
		kept = append(kept, roles...)
	}
	return us.replace(ctx, r, bson.D{{Key: "roles", Value: roleList(kept)}})
}

func contains(roles []auth.RoleName, one auth.RoleName) bool {
	for _, role := range roles {
		if role == one {
			return true
		}
	}
	return false
}

func rolesOf(user bson.Raw) []auth.RoleName {
	array, _ := user.Lookup("roles").ArrayOK()
	values, err := array.Values()
	if err != nil {
		return nil
	}
	var roles []auth.RoleName
	for _, v := range values {
		doc, _ := v.DocumentOK()
		role, _ := doc.Lookup("role").StringValueOK()
		db, _ := doc.Lookup("db").StringValueOK()
		roles = append(roles, auth.RoleName{Role: role, DB: db})
	}
	return roles
}

func (us *Users) dropUser(ctx context.Context, r *command.Request, _ *command.Reply) error {
	name, _ := r.Argument().StringValueOK()
	return us.change(ctx, r, func(u *store.Unit, users, _ *store.Collection) error {
		record, _ := us.record(usersNS, r.DB+"."+name)
		if record == nil {
			return command.Errorf(11, "User '%s@%s' not found", name, r.DB)
		}
		return u.Remove(users, record, store.Note{})
	})
}

func (us *Users) usersInfo(_ context.Context, r *command.Request, out *command.Reply) error {
	wanted, byName := r.Argument().StringValueOK()
	if doc, isDoc := r.Argument().DocumentOK(); isDoc {
		wanted, byName = doc.Lookup("user").StringValueOK()
	}
	list := bson.A{}
	us.Store.View(func() {
		c := us.Store.Find(usersNS, store.Latest)
		for record := range c.After(store.NaturalStart) {
			doc := record.At(store.Latest)
			name, _ := doc.Lookup("user").StringValueOK()
			db, _ := doc.Lookup("db").StringValueOK()
			if doc == nil || db != r.DB || byName && name != wanted {
				continue
			}
			list = append(list, bson.D{
				{Key: "_id", Value: doc.Lookup("_id")}, {Key: "userId", Value: doc.Lookup("userId")}, {Key: "user", Value: name}, {Key: "db", Value: db},
				{Key: "roles", Value: doc.Lookup("roles")}, {Key: "mechanisms", Value: auth.Mechanisms},
			})
		}
	})
	out.Set("users", list)
	return nil
}
