package synchro

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpedia.io/api/cluster/v1alpha2"
)

// Reasons of Kubernetes Events on a PediaCluster that aren't those of conditions.
const (
	eventSynced    = "Synced"
	eventResumed   = "ResourceResumed"
	eventRemoved   = "ResourceRemoved"
	eventUpgraded  = "VersionChanged"
	eventNotServed = "ResourceNotServed"
)

// maxNamed bounds the number of resources that an Event names.
const maxNamed = 10

// event records a Kubernetes Event on a PediaCluster, for its owner.
func (m *Manager) event(p *v1alpha2.PediaCluster, kind, reason, message string) {
	if m.Events == nil {
		return
	}
	ref := &corev1.ObjectReference{
		APIVersion: v1alpha2.GroupVersion.String(), Kind: "PediaCluster", Name: p.Name, UID: p.UID, ResourceVersion: p.ResourceVersion,
	}
	m.Events.Event(ref, kind, reason, shorten(message))
}

// announce tells the owner of a PediaCluster how its status has changed.
func (m *Manager) announce(p *v1alpha2.PediaCluster, before, after *v1alpha2.ClusterStatus) {
	for _, c := range after.Conditions {
		c.Message = withoutNotes(c.Message)
		if kind, message := worth(meta.FindStatusCondition(before.Conditions, c.Type), c); kind != "" {
			m.event(p, kind, c.Reason, message)
		}
	}
	if before.Version != "" && after.Version != before.Version {
		m.event(p, corev1.EventTypeNormal, eventUpgraded, fmt.Sprintf("the cluster's version was %s and is %s now", before.Version, after.Version))
	}
	m.announceResources(p, resourceStates(before), resourceStates(after))
}

// worth returns the type and message of the Event about a condition; no type if there is
// nothing to tell: nothing has changed, or what follows tells more.
func worth(before *metav1.Condition, c metav1.Condition) (kind, message string) {
	switch {
	case c.Type == v1alpha2.ReadyCondition, // it follows from the others
		slices.Contains([]string{reasonPending, v1alpha2.SynchroWaitInitReason, v1alpha2.ClusterMonitorStopReason}, c.Reason),
		c.Type == v1alpha2.SynchroRunningCondition && slices.Contains([]string{v1alpha2.InvalidConfigReason, v1alpha2.InvalidSyncResourcesReason}, c.Reason):
		return "", ""
	case before != nil && before.Status == c.Status && before.Reason == c.Reason && (withoutNotes(before.Message) == c.Message || c.Type == v1alpha2.ClusterHealthyCondition):
		return "", ""
	}
	kind, message = corev1.EventTypeNormal, c.Message
	switch {
	case c.Status == metav1.ConditionFalse && (c.Reason != reasonShutdown || c.Message == messageOvertaken), strings.Contains(c.Message, "Warning: "):
		kind = corev1.EventTypeWarning
	case c.Type == v1alpha2.ValidatedCondition && message == "":
		message = "the spec is valid"
	}
	return kind, message
}

// namedState is the status of one version of a resource, by name.
type namedState struct {
	name string
	v1alpha2.ClusterResourceSyncCondition
}

func resourceStates(status *v1alpha2.ClusterStatus) []namedState {
	var states []namedState
	for _, group := range status.SyncResources {
		for _, r := range group.Resources {
			for _, c := range r.SyncConditions {
				name := r.Name + "." + c.Version
				if group.Group != "" {
					name += "." + group.Group
				}
				states = append(states, namedState{name, c})
			}
		}
	}
	return states
}

// troubled are the reasons of resources that the owner should know.
func troubled(reason string) bool {
	return slices.Contains([]string{reasonWatchFailed, reasonStorageFailed, reasonCleanFailed, reasonObjectsLeftOut}, reason)
}

// announceResources makes one Event of all resources to which the same has happened.
func (m *Manager) announceResources(p *v1alpha2.PediaCluster, before, after []namedState) {
	earlier := map[string]namedState{}
	for _, s := range before {
		earlier[s.name] = s
	}
	var reasons, resumed, removed []string
	trouble := map[string][]namedState{}
	for _, s := range after {
		was := earlier[s.name]
		delete(earlier, s.name)
		switch {
		case troubled(s.Reason) && was.Reason != s.Reason:
			if trouble[s.Reason] == nil {
				reasons = append(reasons, s.Reason)
			}
			trouble[s.Reason] = append(trouble[s.Reason], s)
		case s.Reason == "" && s.Status == v1alpha2.ResourceSyncStatusSyncing && troubled(was.Reason):
			resumed = append(resumed, s.name)
		}
	}
	for _, s := range before {
		if _, gone := earlier[s.name]; gone {
			removed = append(removed, s.name)
		}
	}
	for _, reason := range reasons {
		var names []string
		for _, s := range trouble[reason] {
			names = append(names, s.name)
		}
		m.event(p, corev1.EventTypeWarning, reason, listed(names)+": "+trouble[reason][0].Message)
	}
	if len(resumed) > 0 {
		m.event(p, corev1.EventTypeNormal, eventResumed, "synced again: "+listed(resumed))
	}
	if len(removed) > 0 {
		m.event(p, corev1.EventTypeNormal, eventRemoved, "not synced any more: "+listed(removed))
	}
}

// listed names some of the resources, and says how many more there are.
func listed(names []string) string {
	if more := len(names) - maxNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), more)
	}
	return strings.Join(names, ", ")
}

// noteUnserved keeps what the user has selected, or excluded, and the member doesn't have.
func (c *cluster) noteUnserved(selected, excluded []string) {
	c.mu.Lock()
	news := !slices.Equal(c.unserved, selected)
	changed := news || !slices.Equal(c.unmatched, excluded)
	c.unserved, c.unmatched = selected, excluded
	c.unservedNews = c.unservedNews || news
	c.mu.Unlock()
	if changed {
		c.stateChanged()
	}
}

// notes returns what is added to the message of the condition Validated: what the spec asks
// for in vain.
func (c *cluster) notes() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var notes []string
	for _, note := range []struct {
		text  string
		names []string
	}{{noteUnserved, c.unserved}, {noteUnmatched, c.unmatched}, {noteNamespaces, unmatched(c.resources)}} {
		if len(note.names) > 0 {
			notes = append(notes, note.text+listed(note.names))
		}
	}
	return notes
}

// withoutNotes returns a message as it is without what notes returns, of which Events tell
// otherwise.
func withoutNotes(message string) string {
	for _, note := range []string{noteUnserved, noteUnmatched, noteNamespaces} {
		before, _, _ := strings.Cut(message, note)
		message = strings.TrimSuffix(before, messageSeparator)
	}
	return message
}

// announceRunning tells, once each, of what is selected in vain, and that all the rest is
// stored, as the status that was written says.
func (m *Manager) announceRunning(p *v1alpha2.PediaCluster, c *owned, written *v1alpha2.ClusterStatus) {
	resources := resourceStates(written)
	synced := len(resources) > 0 && !slices.ContainsFunc(resources, func(s namedState) bool {
		return s.Status != v1alpha2.ResourceSyncStatusSyncing || s.InitialListPhase
	})
	c.mu.Lock()
	names, news := c.unserved, c.unservedNews
	c.unservedNews = false
	first := synced && !c.announced
	c.announced = c.announced || synced
	c.mu.Unlock()
	if first {
		m.event(p, corev1.EventTypeNormal, eventSynced, fmt.Sprintf("all objects of %d resources are stored", len(resources)))
	}
	if news && len(names) > 0 {
		m.event(p, corev1.EventTypeWarning, eventNotServed, "selected, but the cluster doesn't have them, or not to be listed and watched: "+listed(names))
	}
}
