package catalog

import (
	"pitr"
	"pitr/format"
)

// Service is a snapshot with the moments that it reaches, the insides of jobs among them.
type Service struct {
	Point
	Stretch
}

// Services gives what each usable snapshot of the history that ends with a branch reaches, in no order.
func (t Timeline) Services(branch format.ID) []Service {
	s := survey{history: t.lineageOf(branch)}
	s.windows = windowsOf(s.history.spans)
	var services []Service
	for _, own := range s.history.parts {
		for _, point := range own.line.Snapshots {
			if point.At > own.through {
				continue
			}
			if stretch, ok := s.serves(point); ok {
				services = append(services, Service{Point: point, Stretch: stretch})
			}
		}
	}
	return services
}

// Lineage gives what each branch adds to the history that ends with one, oldest first. The last part has no end.
func (t Timeline) Lineage(branch format.ID) []BranchWindow {
	var windows []BranchWindow
	for _, own := range t.lineageOf(branch).parts {
		windows = append(windows, BranchWindow{Branch: own.line.Branch, Window: pitr.Window{After: own.after, Through: own.through}})
	}
	return windows
}

// Cut gives what each branch of the history that ends with one has of a window, oldest first, as Entries reads it. A branch
// that nobody knows keeps its part: reading it says that it is missing.
func (t Timeline) Cut(branch format.ID, window pitr.Window) []BranchWindow {
	history := t.lineageOf(branch)
	if len(history.parts) == 0 {
		return []BranchWindow{{Branch: branch, Window: window}}
	}
	windows := history.cut(window)
	oldest := history.parts[0]
	if before := window.Intersect(pitr.Window{Through: oldest.after}); oldest.line.Fork != nil && !before.IsEmpty() {
		windows = append([]BranchWindow{{Branch: oldest.line.Fork.Parent, Window: before}}, windows...)
	}
	return windows
}
