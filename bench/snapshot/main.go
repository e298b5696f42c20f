// Command snapshot measures what a snapshot costs the client: CPU seconds per GB of documents, peak memory, the ratio of
// documents to stored bytes. The server is a simulated set in a process of its own, so that its costs are not counted.
// The result is verified before any figure is printed.
//
//	go run ./bench/snapshot -documents 1500000 -runs 3
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
	"pitr/bench/orders"
	"pitr/catalog"
	"pitr/cluster"
	"pitr/format"
	"pitr/internal/replsim"
	"pitr/snapshot"
	"pitr/storage"
)

type settings struct {
	documents, collections, runs, workers int
	memory                                int64
	folder, uri                           string
	serve                                 bool
	profile                               string
}

func main() {
	var s settings
	flag.IntVar(&s.documents, "documents", 1_000_000, "documents in all")
	flag.IntVar(&s.collections, "collections", 4, "collections they are spread over")
	flag.IntVar(&s.runs, "runs", 3, "how often to take the snapshot")
	flag.IntVar(&s.workers, "workers", 2, "collections read at once")
	flag.Int64Var(&s.memory, "memory", 400, "soft memory limit in MiB, as the program sets it; 0 for none")
	flag.StringVar(&s.folder, "folder", os.TempDir(), "where the repositories go")
	flag.StringVar(&s.uri, "uri", "", "a server that has the documents already, instead of a simulated one")
	flag.StringVar(&s.profile, "profile", "", "file for a CPU profile of the runs")
	flag.BoolVar(&s.serve, "serve", false, "be the server (used by the command itself)")
	flag.Parse()
	run := measure
	if s.serve {
		run = serve
	}
	if err := run(context.Background(), s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err, pitr.HintOf(err))
		os.Exit(1)
	}
}

// serve is the other process: a simulated set with documents in it. It prints its address and ends with its input.
func serve(ctx context.Context, s settings) error {
	server, err := replsim.Start(ctx, replsim.Options{})
	if err != nil {
		return err
	}
	defer server.Close()
	client, err := cluster.Connect(ctx, cluster.Options{URI: server.URI()})
	if err != nil {
		return err
	}
	made, primary := orders.New(1), client.Primary()
	for c := range s.collections {
		ns := pitr.Namespace{DB: "bench", Collection: fmt.Sprintf("orders%d", c)}
		var documents []bson.Raw
		for range s.documents / s.collections {
			if documents = append(documents, made.Next()); len(documents) == 10_000 {
				if err := primary.Load(ctx, ns, documents); err != nil {
					return err
				}
				documents = documents[:0]
			}
		}
		if err := primary.Load(ctx, ns, documents); err != nil {
			return err
		}
	}
	client.Close(ctx)
	debug.FreeOSMemory()
	fmt.Println(server.URI())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// start runs the other process and gives its address.
func start(ctx context.Context, s settings) (uri string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	child := exec.CommandContext(ctx, self, "-serve", fmt.Sprintf("-documents=%d", s.documents), fmt.Sprintf("-collections=%d", s.collections))
	child.Stderr = os.Stderr
	input, err := child.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	output, err := child.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := child.Start(); err != nil {
		return "", nil, err
	}
	stop = func() { _ = input.Close(); _ = child.Wait() }
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("the server did not start: %w", err)
	}
	return strings.TrimSpace(line), stop, nil
}

func measure(ctx context.Context, s settings) error {
	uri := s.uri
	if uri == "" {
		started, stop, err := start(ctx, s)
		if err != nil {
			return err
		}
		defer stop()
		uri = started
	}
	if s.memory > 0 {
		debug.SetMemoryLimit(s.memory << 20)
	}
	client, err := cluster.Connect(ctx, cluster.Options{URI: uri, AppName: "pitr-bench"})
	if err != nil {
		return err
	}
	defer client.Close(ctx)
	if err := scanOnly(ctx, client); err != nil {
		return err
	}
	fmt.Printf("%-10s %9s %9s %10s %9s %9s %7s %9s %10s\n", "run", "MB", "wall s", "MB/s", "CPU s", "CPU-s/GB", "ratio", "peak MiB", "check s/GB")
	if s.profile != "" {
		file, err := os.Create(s.profile)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	for n := range s.runs {
		if err := takeOnce(ctx, client, s, n+1); err != nil {
			return err
		}
	}
	return nil
}

// scanOnly measures reading alone: what the snapshot cannot do without.
func scanOnly(ctx context.Context, client *cluster.Client) error {
	listed, err := client.Listing(ctx, pitr.Scope{})
	if err != nil {
		return err
	}
	began, before, bytes := time.Now(), cpu(), int64(0)
	for _, c := range listed {
		for batch, err := range client.Scan(ctx, pitr.Range{Collection: c}) {
			if err != nil {
				return err
			}
			bytes += int64(batch.Bytes())
		}
	}
	used, wall := cpu()-before, time.Since(began).Seconds()
	fmt.Printf("reading alone: %.0f MB in %.2f s, %.0f MB/s, %.2f CPU-s/GB\n", float64(bytes)/1e6, wall, float64(bytes)/1e6/wall, used/(float64(bytes)/1e9))
	return nil
}

func takeOnce(ctx context.Context, client *cluster.Client, s settings, n int) error {
	folder, err := os.MkdirTemp(s.folder, "pitr-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	place := filepath.Join(folder, "repository")
	if err := os.Mkdir(place, 0o700); err != nil {
		return err
	}
	store, err := storage.OpenFolder(place, storage.FolderOptions{})
	if err != nil {
		return err
	}
	repository, err := catalog.Create(ctx, store, catalog.CreateOptions{ClusterName: "bench"})
	if err != nil {
		return err
	}
	source := onlyDocuments{client}
	began, before := time.Now(), cpu()
	manifest, err := snapshot.Take(ctx, source, repository, snapshot.Options{Reason: format.ReasonManual, Workers: s.workers, WorkFolder: folder})
	if err != nil {
		return err
	}
	used, wall, peak := cpu()-before, time.Since(began).Seconds(), peakMemory()
	readFrom := cpu()
	if err := verify(ctx, repository, manifest, int64(s.documents)); err != nil {
		return err
	}
	gb := float64(manifest.Objects.Bytes) / 1e9
	readBack := (cpu() - readFrom) / gb
	fmt.Printf("%-10d %9.0f %9.2f %10.0f %9.2f %9.2f %7.2f %9d %10.2f\n", n, gb*1e3, wall, gb*1e3/wall, used, used/gb,
		float64(manifest.Objects.Bytes)/float64(manifest.Objects.Stored), peak>>20, readBack)
	return nil
}

// verify reads everything back: a run whose output was not verified does not count.
func verify(ctx context.Context, repository *catalog.Repository, manifest format.Manifest, documents int64) error {
	if manifest.Objects.Documents != documents {
		return fmt.Errorf("%d documents instead of %d", manifest.Objects.Documents, documents)
	}
	reader, err := snapshot.Open(ctx, repository, manifest.ID)
	if err != nil {
		return err
	}
	for _, c := range reader.Collections() {
		err = errors.Join(err, reader.Check(ctx, c))
	}
	return err
}

// onlyDocuments leaves the archive out of the measurement: it has figures of its own.
type onlyDocuments struct{ *cluster.Client }

func (o onlyDocuments) Server() pitr.Server {
	server := o.Client.Server()
	server.Ability = pitr.AbilityDocuments
	return server
}

// cpu gives the CPU seconds of this process so far.
func cpu() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}

// peakMemory gives the largest resident size of this process so far.
func peakMemory() int64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return used.Maxrss << 10
}
