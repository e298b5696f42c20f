package format

import (
	"encoding/hex"
	"strconv"
	"strings"

	"pitr"
)

// The ends of names.
const (
	endJSON      = ".json"
	endContainer = ".bson.zst"
	endKeys      = ".keys"
	endHole      = ".hole.json"
)

// The widths of the numbers in names, in decimal digits.
const (
	widthCatalogPart = 4
	widthChunk       = 6
	widthChangePart  = 6
	widthCollection  = 5
	widthPartition   = 4
	widthAttempt     = 3
	widthStep        = 3
	widthReview      = 2
	widthDecisions   = 6
	widthPlaybook    = 2
	widthGeneration  = 20
)

// scanner takes a name apart from the left; bad stays set after the first piece that does not fit.
type scanner struct {
	rest string
	bad  bool
}

// name reads a whole name: the grammar of docs/format.md, one line per kind.
func (s *scanner) name(n *Name) {
	switch {
	case s.take("pitr.json"):
		n.kind = KindHeader
	case s.take("branches/"):
		n.kind, n.id = KindBranch, s.idThen(endJSON)
	case s.take("holds/"):
		n.kind, n.id = KindHold, s.idThen(endJSON)
	case s.take("condemned/"):
		n.kind, n.id = KindCondemned, s.idThen(endJSON)
	case s.take("drills/"):
		n.kind, n.id = KindDrill, s.idThen(endJSON)
	case s.take("marks/"):
		n.kind, n.window.Through = KindMark, s.boundThen("-")
		n.id = s.idThen(endJSON)
	case s.take("leases/"):
		n.kind, n.lease = KindLease, s.leaseThen("/")
		n.generation = s.generationThen(endJSON)
	case s.take("playbooks/"):
		n.kind, n.id = KindPlaybook, s.idThen("/")
		n.numbers[0] = s.numberThen(widthPlaybook, endJSON)
	case s.take("snapshots/"):
		n.id = s.idThen("/")
		s.snapshot(n)
	case s.take("jobs/"):
		n.id = s.idThen("/")
		s.job(n)
	case s.take("oplog/"):
		n.id = s.idThen("/")
		s.oplog(n)
	}
}

func (s *scanner) snapshot(n *Name) {
	switch {
	case s.take("manifest.json"):
		n.kind = KindManifest
	case s.take("catalog-"):
		n.kind, n.numbers[0] = KindCatalogPart, s.numberThen(widthCatalogPart, endContainer)
	case s.take("data-"):
		n.kind, n.numbers[0] = KindChunk, s.numberThen(widthChunk, endContainer)
	case s.take("keys-"):
		n.kind, n.numbers[0] = KindKeys, s.numberThen(widthCollection, "-")
		n.numbers[1] = s.numberThen(widthPartition, endKeys)
	}
}

func (s *scanner) job(n *Name) {
	switch {
	case s.take("intent.json"):
		n.kind = KindIntent
	case s.take("steps/"):
		n.kind, n.numbers[1] = KindStep, s.numberThen(widthAttempt, "-")
		n.numbers[0] = s.numberThen(widthStep, endJSON)
	case s.take("changes.json"):
		n.kind = KindChanges
	case s.take("changes-"):
		n.kind, n.numbers[0] = KindChangePart, s.numberThen(widthChangePart, endContainer)
	case s.take("result.json"):
		n.kind = KindResult
	case s.take("review-"):
		s.review(n)
	}
}

// review reads NN.json or NN-PPPPPP.bson.zst.
func (s *scanner) review(n *Name) {
	if strings.HasSuffix(s.rest, endContainer) {
		n.kind, n.numbers[0] = KindDecisions, s.numberThen(widthReview, "-")
		n.numbers[1] = s.numberThen(widthDecisions, endContainer)
		return
	}
	n.kind, n.numbers[0] = KindReview, s.numberThen(widthReview, endJSON)
}

// oplog reads day/after-prev8-through-last8.bson.zst or day/after-through.hole.json.
func (s *scanner) oplog(n *Name) {
	day, rest, _ := strings.Cut(s.rest, "/")
	s.rest = rest
	n.window.After = s.boundThen("-")
	if strings.HasSuffix(s.rest, endHole) {
		n.kind, n.window.Through = KindHole, s.boundThen(endHole)
	} else {
		n.kind, n.prev = KindSegment, s.shortThen("-")
		n.window.Through = s.boundThen("-")
		n.last = s.shortThen(endContainer)
	}
	s.bad = s.bad || n.window.IsEmpty() || day != dayOf(n.window.Through)
}

// take removes the word if it comes next.
func (s *scanner) take(word string) bool {
	rest, found := strings.CutPrefix(s.rest, word)
	s.rest = rest
	return found
}

// piece removes so many bytes and the word after them.
func (s *scanner) piece(length int, word string) string {
	if s.bad || len(s.rest) < length {
		s.bad = true
		return ""
	}
	piece := s.rest[:length]
	s.rest = s.rest[length:]
	s.bad = !s.take(word)
	return piece
}

func (s *scanner) idThen(word string) ID {
	text := s.piece(idLength, word)
	s.bad = s.bad || !isID(text)
	return ID(text)
}

func (s *scanner) numberThen(width int, word string) int {
	text := s.piece(width, word)
	s.bad = s.bad || strings.Trim(text, "0123456789") != ""
	number, err := strconv.Atoi(text)
	s.bad = s.bad || err != nil
	return number
}

func (s *scanner) boundThen(word string) pitr.Timestamp {
	text := s.piece(16, word)
	s.bad = s.bad || strings.Trim(text, "0123456789abcdef") != ""
	bound, err := strconv.ParseUint(text, 16, 64)
	s.bad = s.bad || err != nil
	return pitr.Timestamp(bound)
}

func (s *scanner) shortThen(word string) (short Short) {
	text := s.piece(8, word)
	content, err := hex.DecodeString(text)
	if err != nil || len(content) != len(short) || strings.ToLower(text) != text {
		s.bad = true
		return short
	}
	return Short(content)
}

// leaseThen reads lower-case letters and single hyphens between them.
func (s *scanner) leaseThen(word string) string {
	lease, _, _ := strings.Cut(s.rest, word)
	s.bad = s.bad || !isLease(lease)
	return s.piece(len(lease), word)
}

func isLease(text string) bool {
	return text != "" && len(text) <= 32 && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz-") == "" &&
		text[0] != '-' && text[len(text)-1] != '-'
}

// generationThen reads 2^64-1-generation, so that a listing has the newest generation first.
func (s *scanner) generationThen(word string) uint64 {
	text := s.piece(widthGeneration, word)
	s.bad = s.bad || strings.Trim(text, "0123456789") != ""
	inverted, err := strconv.ParseUint(text, 10, 64)
	s.bad = s.bad || err != nil || ^inverted == 0
	return ^inverted
}

// dayOf gives the UTC day of a cluster time, as folders of segments are named.
func dayOf(t pitr.Timestamp) string { return t.Time().Format("20060102") }
