package users

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/replsim/auth"
	"pitr/internal/replsim/command"
	"pitr/internal/replsim/mql/value"
	"pitr/internal/replsim/store"
)

// privileges are what a role gives, inherited ones included; ok is false if there is no such role.
func (us *Users) privileges(role auth.RoleName) (all []auth.Privilege, ok bool) {
	if builtin, ok := auth.Builtin(role); ok {
		return builtin, true
	}
	doc := us.find(rolesNS, role.DB+"."+role.Role)
	if doc == nil {
		return nil, false
	}
	lists := [][]auth.Privilege{parsePrivileges(doc)}
	for _, inherited := range rolesOf(doc) {
		if more, known := us.privileges(inherited); known {
			lists = append(lists, more)
		}
	}
	return auth.Join(lists...), true
}

func parsePrivileges(role bson.Raw) []auth.Privilege {
	array, _ := role.Lookup("privileges").ArrayOK()
	values, err := array.Values()
	if err != nil {
		return nil
	}
	var all []auth.Privilege
	for _, v := range values {
		doc, _ := v.DocumentOK()
		p := auth.Privilege{Resource: parseResource(doc.Lookup("resource"))}
		actions, _ := doc.Lookup("actions").ArrayOK()
		texts, err := actions.Values()
		if err != nil {
			continue
		}
		for _, text := range texts {
			action, _ := text.StringValueOK()
			p.Actions = append(p.Actions, action)
		}
		all = append(all, p)
	}
	return all
}

func parseResource(v bson.RawValue) auth.Resource {
	doc, _ := v.DocumentOK()
	r := auth.Resource{
		Cluster: command.Truth(doc.Lookup("cluster")), Any: command.Truth(doc.Lookup("anyResource")),
		Buckets: doc.Lookup("system_buckets").Type != 0,
	}
	r.DB, _ = doc.Lookup("db").StringValueOK()
	r.Collection, _ = doc.Lookup("collection").StringValueOK()
	return r
}

func resourceDocument(r auth.Resource) bson.D {
	switch {
	case r.Any:
		return bson.D{{Key: "anyResource", Value: true}}
	case r.Cluster:
		return bson.D{{Key: "cluster", Value: true}}
	case r.Buckets:
		return bson.D{{Key: "system_buckets", Value: ""}}
	}
	return bson.D{{Key: "db", Value: r.DB}, {Key: "collection", Value: r.Collection}}
}

func privilegeList(all []auth.Privilege) bson.A {
	list := bson.A{}
	for _, p := range all {
		list = append(list, bson.D{{Key: "resource", Value: resourceDocument(p.Resource)}, {Key: "actions", Value: p.Actions}})
	}
	return list
}

// Refresh gives a login the privileges that its roles have now.
func (us *Users) Refresh(l *auth.Login) {
	version := us.version.Load()
	if l.Privileges != nil && l.Version == version {
		return
	}
	l.Version = version
	l.Roles = rolesOf(us.find(usersNS, l.DB+"."+l.User))
	lists := make([][]auth.Privilege, 0, len(l.Roles))
	for _, role := range l.Roles {
		if privileges, ok := us.privileges(role); ok {
			lists = append(lists, privileges)
		}
	}
	l.Privileges = auth.Join(lists...)
}

func (us *Users) createRole(ctx context.Context, r *command.Request, _ *command.Reply) error {
	name, _ := r.Argument().StringValueOK()
	roles, err := us.parseRoles(r)
	if err != nil {
		return err
	}
	id := r.DB + "." + name
	doc := value.Marshal(bson.D{
		{Key: "_id", Value: id}, {Key: "role", Value: name}, {Key: "db", Value: r.DB}, {Key: "privileges", Value: r.Lookup("privileges")},
		{Key: "roles", Value: roleList(roles)},
	})
	return us.change(ctx, r, func(u *store.Unit, _, all *store.Collection) error {
		if _, known := us.record(rolesNS, id); known != nil {
			return command.Errorf(51002, "Role \"%s@%s\" already exists", name, r.DB)
		}
		_, err := u.Insert(all, doc, store.Note{})
		return err
	})
}

// dropRole removes a role in a transaction of the server's own, as a server does.
func (us *Users) dropRole(ctx context.Context, r *command.Request, _ *command.Reply) error {
	name, _ := r.Argument().StringValueOK()
	defer us.version.Add(1)
	return us.Store.Retry(ctx, func() error {
		record, _ := us.record(rolesNS, r.DB+"."+name)
		if record == nil {
			return command.Errorf(31, "Role '%s@%s' not found", name, r.DB)
		}
		u := us.Store.BeginTransaction(store.Latest.TS, us.Session())
		u.Bypass = true
		if err := u.Remove(us.Store.Find(rolesNS, store.Latest), record, store.Note{}); err != nil {
			u.Abort()
			return err
		}
		r.Client.LastOp = u.Commit()
		return nil
	})
}

func (us *Users) rolesInfo(_ context.Context, r *command.Request, out *command.Reply) error {
	var wanted []auth.RoleName
	switch argument := r.Argument(); argument.Type {
	case bson.TypeString:
		wanted = append(wanted, auth.RoleName{Role: argument.StringValue(), DB: r.DB})
	case bson.TypeEmbeddedDocument:
		role, _ := argument.Document().Lookup("role").StringValueOK()
		db, _ := argument.Document().Lookup("db").StringValueOK()
		wanted = append(wanted, auth.RoleName{Role: role, DB: db})
	}
	list := bson.A{}
	for _, role := range wanted {
		privileges, ok := us.privileges(role)
		if !ok {
			continue
		}
		d := bson.D{{Key: "db", Value: role.DB}, {Key: "role", Value: role.Role}, {Key: "roles", Value: bson.A{}}}
		if r.Flag("showPrivileges") {
			d = append(d, bson.E{Key: "privileges", Value: privilegeList(privileges)})
		}
		d = append(d, bson.E{Key: "inheritedRoles", Value: bson.A{}})
		if r.Flag("showPrivileges") {
			d = append(d, bson.E{Key: "inheritedPrivileges", Value: privilegeList(privileges)})
		}
		_, builtin := auth.Builtin(role)
		list = append(list, append(d, bson.E{Key: "isBuiltin", Value: builtin}))
	}
	out.Set("roles", list)
	return nil
}

func (us *Users) connectionStatus(_ context.Context, r *command.Request, out *command.Reply) error {
	who, roles, privileges := bson.A{}, bson.A{}, bson.A{}
	if l := r.Client.Login; l != nil {
		who = append(who, bson.D{{Key: "user", Value: l.User}, {Key: "db", Value: l.DB}})
		roles, privileges = roleList(l.Roles), privilegeList(l.Privileges)
	}
	info := bson.D{{Key: "authenticatedUsers", Value: who}, {Key: "authenticatedUserRoles", Value: roles}}
	if r.Flag("showPrivileges") {
		info = append(info, bson.E{Key: "authenticatedUserPrivileges", Value: privileges})
	}
	out.Set("authInfo", info)
	return nil
}
