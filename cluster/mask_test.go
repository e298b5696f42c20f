package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"pitr"
	"pitr/cluster"
)

func TestMaskURI(t *testing.T) {
	for uri, want := range map[string]string{
		"mongodb://h:1":                       "mongodb://h:1",
		"mongodb://u@h/db":                    "mongodb://u@h/db",
		"mongodb://u:canary@h:1,i:2/?w=1":     "mongodb://u:***@h:1,i:2/?w=1",
		"mongodb+srv://u:p%40canary@h/?tls=1": "mongodb+srv://u:***@h/?tls=1",
		"mongodb://u:canary@more@h/":          "mongodb://u:***@h/",
		"mongodb://u:ca?nary@h/":              "mongodb://***@h/",
		"u:canary@h":                          "u:***@h",
		"mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:canary&replicaSet=rs0": "mongodb://h/?authMechanismProperties=***&replicaSet=rs0",
		"mongodb://h/?tlsCertificateKeyFilePassword=canary":                            "mongodb://h/?tlsCertificateKeyFilePassword=***",
		"mongodb://u:canary":           "mongodb://u:***",
		"mongodb://h:27017,i:27018/db": "mongodb://h:27017,i:27018/db",
		"mongodb://[::1]:27017/":       "mongodb://[::1]:27017/",
		"":                             "",
	} {
		if got := cluster.MaskURI(uri); got != want {
			t.Errorf("%s is shown as %s, not %s", uri, got, want)
		}
	}
}

// TestNoErrorOfConnectShowsASecret walks the ways in which connecting can fail without a server. // case X03
func TestNoErrorOfConnectShowsASecret(t *testing.T) {
	const canary = "c4n4ry"
	for _, c := range []struct {
		uri  string
		kind pitr.Kind
	}{
		{"", pitr.KindInvalid},
		{canary, pitr.KindInvalid},
		{"mongodb://user:" + canary, pitr.KindInvalid},
		{"mongodb://user:" + canary + "%zz@host/", pitr.KindInvalid},
		{"mongodb://user:x@" + canary + "@host:99999999/", pitr.KindInvalid},
		{"mongodb://user:" + canary + "@host/?replicaSet=&w=-1", pitr.KindInvalid},
		{"mongodb://user:" + canary + "@127.0.0.1:1/?directConnection=true", pitr.KindUnavailable},
		{"mongodb://user:" + canary + "@127.0.0.1:1,127.0.0.1:2/?replicaSet=none", pitr.KindUnavailable},
	} {
		client, err := cluster.Connect(context.Background(), cluster.Options{URI: c.uri, Timeout: 300 * time.Millisecond})
		if err == nil {
			client.Close(context.Background())
			t.Fatalf("connected to %s", c.uri)
		}
		if pitr.KindOf(err) != c.kind || pitr.HintOf(err) == "" {
			t.Errorf("%s: kind %q, hint %q: %v", c.uri, pitr.KindOf(err), pitr.HintOf(err), err)
		}
		for _, text := range []string{err.Error(), fmt.Sprintf("%+v %#v", err, err), pitr.HintOf(err)} {
			if strings.Contains(text, canary) && c.uri != canary {
				t.Errorf("the canary of %s is in: %s", c.uri, text)
			}
		}
	}
}

func TestConnectEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(50*time.Millisecond, func() {
		cancel(pitr.Errorf(pitr.KindLocked, "", "see `pitr lease list`", "the lease is lost"))
	})
	_, err := cluster.Connect(ctx, cluster.Options{URI: "mongodb://127.0.0.1:1/?directConnection=true", Timeout: time.Minute})
	if pitr.KindOf(err) != pitr.KindLocked || pitr.HintOf(err) == "" {
		t.Errorf("a lost lease is told as %q: %v", pitr.KindOf(err), err)
	}
}
