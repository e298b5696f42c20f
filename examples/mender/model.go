package mender

import (
	"bytes"
	"fmt"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Moment is a place in the model's order of versions: everything up to and including it has happened.
type Moment int

// Model is the generator's own memory of every version of every document. Keys are "db.collection" and the document's
// _id as canonical text. It is safe for several goroutines.
type Model struct {
	mu        sync.Mutex
	clock     Moment
	documents map[string]map[string][]version
}

type version struct {
	since Moment
	// content is nil where the document is absent.
	content bson.Raw
}

// NewModel gives an empty model.
func NewModel() *Model { return &Model{documents: map[string]map[string][]version{}} }

// Put records that a document has these bytes from now on.
func (m *Model) Put(ns string, content bson.Raw) {
	m.record(ns, idText(content), content)
}

// Remove records that a document is absent from now on.
func (m *Model) Remove(ns string, content bson.Raw) {
	m.record(ns, idText(content), nil)
}

// RemoveAll records that a collection is empty from now on.
func (m *Model) RemoveAll(ns string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock++
	for id, versions := range m.documents[ns] {
		if versions[len(versions)-1].content != nil {
			m.documents[ns][id] = append(versions, version{since: m.clock})
		}
	}
}

func (m *Model) record(ns, id string, content bson.Raw) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock++
	if m.documents[ns] == nil {
		m.documents[ns] = map[string][]version{}
	}
	m.documents[ns][id] = append(m.documents[ns][id], version{since: m.clock, content: bytes.Clone(content)})
}

// Now gives the present moment.
func (m *Model) Now() Moment {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.clock
}

// At gives the documents of a collection as of a moment, by _id text.
func (m *Model) At(ns string, moment Moment) map[string]bson.Raw {
	m.mu.Lock()
	defer m.mu.Unlock()
	documents := map[string]bson.Raw{}
	for id, versions := range m.documents[ns] {
		if content := contentAt(versions, moment); content != nil {
			documents[id] = content
		}
	}
	return documents
}

// Touched counts the documents that some version after a moment concerns.
func (m *Model) Touched(after Moment) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	touched := 0
	for _, documents := range m.documents {
		for _, versions := range documents {
			if versions[len(versions)-1].since > after {
				touched++
			}
		}
	}
	return touched
}

// Namespaces lists the collections that ever had a document.
func (m *Model) Namespaces() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for ns := range m.documents {
		names = append(names, ns)
	}
	return names
}

func contentAt(versions []version, moment Moment) bson.Raw {
	var content bson.Raw
	for _, v := range versions {
		if v.since > moment {
			break
		}
		content = v.content
	}
	return content
}

func idText(content bson.Raw) string {
	return content.Lookup("_id").String()
}

// Difference is one document on which the server and the model disagree.
type Difference struct {
	NS, ID string
	// Server and Model are the two sides, nil where absent.
	Server, Model bson.Raw
}

// String says which side has what.
func (d Difference) String() string {
	switch {
	case d.Server == nil:
		return fmt.Sprintf("%s %s is missing on the server", d.NS, d.ID)
	case d.Model == nil:
		return fmt.Sprintf("%s %s should not be on the server", d.NS, d.ID)
	}
	return fmt.Sprintf("%s %s differs: server %s, model %s", d.NS, d.ID, d.Server, d.Model)
}
