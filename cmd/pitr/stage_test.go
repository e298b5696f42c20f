package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"pitr"
	"pitr/examples/mender"
	"pitr/internal/mongotest"
	"pitr/internal/replsim"
)

// stage is a simulated set with users, a repository in a folder, and the incident of examples/mender.
type stage struct {
	t      testing.TB
	set    *mongotest.Instance
	sim    *replsim.Server
	folder string
	story  *mender.Story
	// client is the application's own connection.
	client *mongo.Client
	// reader and writer are files with the connection strings that cron and a restore have.
	reader, writer string
	// good is T: the moment just before the damage, as the model and as the oplog know it; bad is the end of the damage.
	good, bad mender.Moment
	at        pitr.Timestamp
}

// clusterName is what a person types before anything is written.
const clusterName = "devices-eu"

// stageSize is small enough for hundreds of runs and has everything of the story in it.
var stageSize = mender.Sizes{Devices: 120, Touched: 60, Tenants: 3}

// stageUsers have the rights that docs/cli.md asks for, and not one more.
var stageUsers = []mongotest.User{
	{Name: "app", Password: "app", Roles: []string{"readWriteAnyDatabase", "dbAdminAnyDatabase"}},
	{Name: "reader", Password: "reader", Roles: []string{"backup", "clusterMonitor"}},
	{Name: "writer", Password: "writer", Roles: []string{"restore", "readWriteAnyDatabase", "clusterMonitor"}},
}

// newStage starts a set; without users it has no authentication.
func newStage(t testing.TB, users []mongotest.User, o replsim.Options) *stage {
	t.Helper()
	s := &stage{t: t, folder: filepath.Join(t.TempDir(), "repository")}
	s.set = mongotest.Start(t, mongotest.Need{Faults: true, Users: users, Options: o})
	s.sim = s.set.Sim
	reader, writer, app := s.set.URI, s.set.URI, s.set.URI
	if len(users) > 0 {
		reader, writer, app = s.set.As(t, "reader"), s.set.As(t, "writer"), s.set.As(t, "app")
	}
	s.reader, s.writer = secretFile(t, reader), secretFile(t, writer)
	client, err := mongo.Connect(options.Client().ApplyURI(app).SetAppName("enrollment-service"))
	s.must(err)
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	s.client = client
	return s
}

func secretFile(t testing.TB, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "uri")
	if err := os.WriteFile(name, []byte(content+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// play runs the incident up to the moment at which somebody calls for pitr: repository, snapshot, damage, all archived.
func (s *stage) play() {
	s.t.Helper()
	s.prepare()
	s.ok("init", "--cluster-name", clusterName)
	s.ok("snapshot", "take", "--reason", "scheduled")
	s.ok("mark", "before v4.1.0")
	s.damage()
	s.ok("archive", "once")
}

// prepare fills the databases.
func (s *stage) prepare() {
	s.t.Helper()
	s.story = mender.New(s.client, 7, stageSize)
	s.must(s.story.Prepare(context.Background()))
}

// damage is the bad release and the clumsy repair.
func (s *stage) damage() {
	s.t.Helper()
	ctx := context.Background()
	before := s.sim.OplogEnd()
	var err error
	s.good, err = s.story.Migrate(ctx)
	s.must(err)
	s.must(s.story.Repair(ctx))
	s.bad = s.story.Model().Now()
	for _, entry := range s.sim.OplogAfter(before) {
		if entry.Lookup("o", "dropIndexes").Type != 0 {
			seconds, ordinal := entry.Lookup("ts").Timestamp()
			s.at = pitr.NewTimestamp(seconds, ordinal).Before()
			return
		}
	}
	s.t.Fatal("no entry drops an index")
}

// arguments completes a command line with where repository and cluster are, unless it says so itself.
func (s *stage) arguments(args []string) []string {
	full := append([]string{"pitr"}, args...)
	for _, setting := range [][2]string{{"--repo", "file://" + s.folder}, {"--uri-file", s.reader}, {"--restore-uri-file", s.writer}, {"--timeout", "10s"}} {
		if !strings.Contains(strings.Join(args, " ")+" ", setting[0]+" ") {
			full = append(full, setting[0], setting[1])
		}
	}
	return full
}

// pitr runs a command in this process, without a terminal.
func (s *stage) pitr(args ...string) outcome {
	s.t.Helper()
	return s.pitrAt(context.Background(), streams{in: strings.NewReader("")}, args...)
}

func (s *stage) pitrAt(ctx context.Context, at streams, args ...string) outcome {
	var out, talk bytes.Buffer
	at.out, at.err, at.env, at.now = &out, &talk, os.Getenv, time.Now
	code := run(ctx, s.arguments(args), at)
	return outcome{code: code, out: out.String(), err: talk.String()}
}

// ok runs a command that must end well.
func (s *stage) ok(args ...string) outcome {
	s.t.Helper()
	got := s.pitr(args...)
	if got.code != exitDone {
		s.t.Fatalf("pitr %s ends with %d:\n%s%s", strings.Join(args, " "), got.code, got.out, got.err)
	}
	return got
}

// toGood is the moment just before the damage, as a person types it.
func (s *stage) toGood() string { return "through " + s.at.String() }

// same fails the test unless the cluster is, document by document, what the model was at a moment.
func (s *stage) same(moment mender.Moment) {
	s.t.Helper()
	differences, err := s.story.Compare(context.Background(), s.client, moment)
	s.must(err)
	for i, difference := range differences {
		if i == 5 {
			s.t.Errorf("and %d more", len(differences)-i)
			break
		}
		s.t.Errorf("not as the model remembers: %s", difference)
	}
}

// hasIndex fails the test unless the unique index of identities is there, or is not.
func (s *stage) hasIndex(want bool) {
	s.t.Helper()
	got, err := mender.HasIndex(context.Background(), s.client, mender.Devices, mender.IdentityIndex)
	s.must(err)
	if got != want {
		s.t.Errorf("the unique index is there: %v, want %v", got, want)
	}
}

// writes lists the commands of pitr since the log was emptied that change data or catalog. The write block does neither.
func (s *stage) writes() []string {
	var names []string
	for _, command := range s.sim.Commands() {
		if command.Writes && command.App == "pitr" && command.Name != "setUserWriteBlockMode" {
			names = append(names, fmt.Sprintf("%s %s (code %d)", command.Name, command.Namespace, command.Code))
		}
	}
	return names
}

// blocked reports whether the server's write block stands.
func (s *stage) blocked() bool {
	count, err := s.admin().Database("config").Collection("user_writes_critical_sections").CountDocuments(context.Background(), bson.D{})
	s.must(err)
	return count > 0
}

// admin connects as the administrator of the set.
func (s *stage) admin() *mongo.Client {
	s.t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(s.set.URI))
	s.must(err)
	s.t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	return client
}

// reconnect waits until the application's own driver has got over connections that a rollback has closed: it retries a write
// once only, and a second dead connection would end the test for a reason that is none of pitr's.
func (s *stage) reconnect() {
	s.t.Helper()
	for well, begin := 0, time.Now(); well < 3; time.Sleep(50 * time.Millisecond) {
		if err := s.client.Ping(context.Background(), nil); err == nil {
			well++
		} else if well = 0; time.Since(begin) > 30*time.Second {
			s.t.Fatalf("the application does not come back: %v", err)
		}
	}
}

// blockedNow is blocked for callers that must not ask the server: it reads the log of commands.
func (s *stage) blockedNow() bool {
	for _, command := range s.sim.Commands() {
		if command.Name == "setUserWriteBlockMode" && command.Code == 0 {
			return true
		}
	}
	return false
}
