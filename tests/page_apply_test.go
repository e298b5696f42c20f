package tests

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"pitr/internal/mongotest"
)

// TestWhatAPageSavesIsApplied takes the file of decisions exactly as the browser saves it through import and apply: the record
// that was chosen comes back as it was, and no other.
func TestWhatAPageSavesIsApplied(t *testing.T) {
	program := filepath.Join(t.TempDir(), "pitr")
	build := exec.Command("go", "build", "-o", program, "./cmd/pitr")
	build.Dir = ".."
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	instance := mongotest.Start(t, mongotest.Need{})
	folder := t.TempDir()
	pitr := func(args ...string) string {
		t.Helper()
		command := exec.Command(program, append(args, "--repo", "file://"+folder+"/repository")...)
		command.Dir, command.Env = folder, append(os.Environ(), "PITR_URI="+instance.URI, "PITR_RESTORE_URI="+instance.URI)
		output, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("pitr %v: %v\n%s", args, err, output)
		}
		return string(output)
	}
	client, err := mongo.Connect(options.Client().ApplyURI(instance.URI))
	must(t, err)
	t.Cleanup(func() { _ = client.Disconnect(t.Context()) })
	things := client.Database("shop").Collection("things")
	for i := range 3 {
		_, err := things.InsertOne(t.Context(), bson.D{{Key: "_id", Value: fmt.Sprintf("thing-%d", i)}, {Key: "n", Value: i}})
		must(t, err)
	}
	pitr("init", "--cluster-name", "devices-eu")
	id := regexp.MustCompile(`\d{8}T\d{6}Z-[a-z0-9]{6}`)
	snapshot := id.FindString(pitr("snapshot", "take", "--reason", "before-restore"))
	_, err = things.DeleteMany(t.Context(), bson.D{})
	must(t, err)
	job := id.FindString(pitr("diff", snapshot, "live", "--as-lost-set"))
	pitr("report", job, "--html", "lost.html", "--live")

	b := startBrowser(t)
	b.run(t, chromedp.Navigate((&url.URL{Scheme: "file", Path: filepath.Join(folder, "lost.html")}).String()))
	b.ready(t)
	b.press(t, "#list .open", kb.ArrowDown+"p")
	b.press(t, "#save", kb.Enter)
	file := filepath.Join(b.downloads, "decisions-"+job+".csv")
	for range 200 {
		if content, err := os.ReadFile(file); err == nil && len(content) > 0 {
			break
		}
		b.run(t, chromedp.Sleep(50*time.Millisecond))
	}
	if got := pitr("reconcile", "import", job, file); !strings.Contains(got, "put back: 1 records") {
		t.Errorf("the import says:\n%s", got)
	}
	if got := pitr("reconcile", "apply", job, "--dry-run"); !strings.Contains(got, "1 inserted") {
		t.Errorf("the dry run says:\n%s", got)
	}
	live := func() (list []bson.D) {
		cursor, err := things.Find(t.Context(), bson.D{})
		must(t, err)
		must(t, cursor.All(t.Context(), &list))
		return list
	}
	if before := live(); len(before) != 0 {
		t.Errorf("a dry run has written %v", before)
	}
	pitr("reconcile", "apply", job, "--confirm-target", "devices-eu")
	if after := live(); fmt.Sprint(after) != fmt.Sprint([]bson.D{{{Key: "_id", Value: "thing-1"}, {Key: "n", Value: int32(1)}}}) {
		t.Errorf("thing-1 was chosen, live are %v", after)
	}
}
