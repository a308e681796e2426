package cells

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/kubernetes/pkg/apis/batch"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/resource"

	"clusterpedia.io/clusterpedia/internal/rawjson"
)

// Some columns show how long ago something was. Kept cells have in their place the time
// itself, as RFC 3339 has it; or an array of the text before, the time and the text behind.
// That of the creation is in most tables.
const (
	ageColumn = "Age"
	firstSeen = "First Seen"
)

var pods = schema.GroupKind{Kind: "Pod"}

// ages tells of each column of a kind whether it shows an age.
func ages(kind schema.GroupKind, columns []metav1.TableColumnDefinition) []bool {
	names := []string{ageColumn}
	switch kind {
	case pods:
		names = append(names, "Restarts")
	case schema.GroupKind{Group: "batch", Kind: "Job"}:
		names = append(names, "Duration")
	case schema.GroupKind{Group: "batch", Kind: "CronJob"}:
		names = append(names, "Last Schedule")
	case schema.GroupKind{Kind: "Event"}, schema.GroupKind{Group: "events.k8s.io", Kind: "Event"}:
		names = append(names, "Last Seen", firstSeen)
	case schema.GroupKind{Group: "resource.k8s.io", Kind: "DeviceTaintRule"}:
		names = append(names, "TimeAdded")
	case schema.GroupKind{Group: "resource.k8s.io", Kind: "ResourcePoolStatusRequest"}:
		names = append(names, "Completed")
	}
	shown := make([]bool, len(columns))
	for i, c := range columns {
		shown[i] = slices.Contains(names, c.Name)
	}
	return shown
}

// ageOf returns what is kept of a cell that shows an age, or the cell as it was printed if
// it shows none of this object.
func ageOf(obj runtime.Object, column string, printed any) any {
	if column == ageColumn {
		accessor, err := meta.Accessor(obj)
		if err != nil {
			return printed
		}
		return timeOr(accessor.GetCreationTimestamp().Time, printed)
	}
	switch o := obj.(type) {
	case *core.Pod:
		text, _ := printed.(string)
		if count, _, ok := strings.Cut(text, " ("); ok {
			return []string{count + " (", format(lastRestart(o)), " ago)"}
		}
	case *batch.Job:
		if o.Status.StartTime != nil && o.Status.CompletionTime == nil {
			return format(o.Status.StartTime.Time)
		}
	case *batch.CronJob:
		if o.Status.LastScheduleTime != nil {
			return timeOr(o.Status.LastScheduleTime.Time, printed)
		}
	case *core.Event:
		return timeOr(seen(o, column), printed)
	case *resource.DeviceTaintRule:
		if o.Spec.Taint.TimeAdded != nil {
			return timeOr(o.Spec.Taint.TimeAdded.Time, printed)
		}
	case *resource.ResourcePoolStatusRequest:
		return timeOr(completed(o), printed)
	}
	return printed
}

func seen(event *core.Event, column string) time.Time {
	first := event.FirstTimestamp.Time
	if first.IsZero() {
		first = event.EventTime.Time
	}
	switch {
	case column == firstSeen:
		return first
	case event.Series != nil:
		return event.Series.LastObservedTime.Time
	case !event.LastTimestamp.IsZero():
		return event.LastTimestamp.Time
	}
	return first
}

func completed(request *resource.ResourcePoolStatusRequest) time.Time {
	if request.Status == nil {
		return time.Time{}
	}
	for _, c := range request.Status.Conditions {
		switch {
		case c.Status != metav1.ConditionTrue:
		case c.Type == resource.ResourcePoolStatusRequestConditionComplete:
			return c.LastTransitionTime.Time
		case c.Type == resource.ResourcePoolStatusRequestConditionFailed:
			return time.Time{}
		}
	}
	return time.Time{}
}

func format(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func timeOr(t time.Time, printed any) any {
	if t.IsZero() {
		return printed
	}
	return format(t)
}

// AppendCells appends the cells that Print returned to the elements of a JSON array that is
// open, each behind a comma, as they are shown now, and returns the row's conditions as a
// JSON array: nil if it has none.
func (k *Kind) AppendCells(dst, values []byte, now time.Time) (cells, conditions []byte, err error) {
	n := 0
	err = rawjson.Elements(values, func(value []byte) {
		switch {
		case n >= len(k.ages):
			conditions = value
		case k.ages[n]:
			dst = appendAge(append(dst, ','), value, now)
		default:
			dst = append(append(dst, ','), value...)
		}
		n++
	})
	if err == nil && (n < len(k.ages) || n > len(k.ages)+1) {
		err = fmt.Errorf("%d kept cells for %d columns", n, len(k.ages))
	}
	return dst, conditions, err
}

// appendAge appends a cell that may have a time.
func appendAge(dst, value []byte, now time.Time) []byte {
	if value[0] != '[' {
		if t, ok := timeIn(value); ok {
			return append(append(append(dst, '"'), duration.HumanDuration(now.Sub(t))...), '"')
		}
		return append(dst, value...)
	}
	var parts [3][]byte
	n := 0
	err := rawjson.Elements(value, func(part []byte) {
		if n < len(parts) && len(part) >= 2 {
			parts[n] = part
		}
		n++
	})
	t, ok := timeIn(parts[1])
	if err != nil || n != len(parts) || parts[0] == nil || parts[2] == nil || !ok {
		return append(dst, value...) // nothing that Print wrote
	}
	dst = append(dst, parts[0][:len(parts[0])-1]...)
	dst = append(dst, duration.HumanDuration(now.Sub(t))...)
	return append(dst, parts[2][1:]...)
}

// timeIn returns the time that a JSON text is.
func timeIn(value []byte) (time.Time, bool) {
	if len(value) < len(`"2006-01-02T15:04:05Z"`) {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, string(value[1:len(value)-1]))
	return t, err == nil
}
