package synchro

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpedia.io/api/cluster/v1alpha2"
)

// Reasons of the condition SynchroRunning.
const (
	reasonPending       = v1alpha2.SynchroPendingReason
	reasonInitialFailed = v1alpha2.SynchroInitialFailedReason
	reasonRunning       = v1alpha2.SynchroRunningReason
	reasonShutdown      = v1alpha2.SynchroShutdownReason
)

// Messages of conditions. Users know and search for these texts.
const (
	messageWaitInit         = "pediacluster is validated"
	messagePending          = "cluster synchro is created, wait running"
	messageRunning          = "cluster synchro is running"
	messageShutdown         = "cluster synchro is shutdown"
	messageOvertaken        = "cluster synchro is shutdown, since another manager has written to the cluster"
	messageWaitSynchro      = "wait cluster synchro"
	messageWaitMonitor      = "wait cluster synchro's healthy monitor running"
	messageHealthy          = "cluster health responded with ok"
	messageNoVersion        = "cluster health responded with ok, but get server version: %v"
	messageRefNotFound      = "Warning: sync resource ref is not found"
	messageRefLast          = "what it said last stays in force"
	messageInsecure         = "Warning: the certificate of the cluster's API server is not verified, since no CA is given"
	messageInvalidConfig    = "invalid cluster config: %v"
	messageRefFailed        = "Failed to get cluster sync resources of cluster: %v"
	messageExclusions       = "invalid sync resources: %v"
	messageSharedExclusions = "invalid sync resources: ClusterSyncResources %s: %v"
	messageAllResources     = "ClusterSynchro Manager's feature gate `AllowSyncAllResources` is not enabled, cannot use all-resources wildcard"
	messageAllCustom        = "Warning: syncAllCustomResources has no effect, since the feature gate AllowSyncAllCustomResources is not enabled"
)

// Notes are added to the message of Validated, behind messageSeparator.
const (
	messageSeparator = "; "
	noteUnserved     = "Warning: selected, but the cluster doesn't have them, or not to be listed and watched: "
	noteUnmatched    = "Warning: excluded or pruned, but the cluster doesn't have them: "
	noteNamespaces   = "Warning: no object is in the excluded namespaces: "
)

// validity is what a spec was found to be.
type validity struct {
	// reason is that of the condition Validated.
	reason, message string
}

func (v validity) ok() bool { return v.reason == v1alpha2.ValidatedReason }

// condition returns Validated, with notes behind the message.
func (v validity) condition(notes ...string) metav1.Condition {
	if v.message != "" {
		notes = slices.Insert(notes, 0, v.message)
	}
	return condition(v1alpha2.ValidatedCondition, statusOf(v.ok()), v.reason, strings.Join(notes, messageSeparator))
}

func statusOf(ok bool) metav1.ConditionStatus {
	if ok {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// withoutSynchro returns the conditions of a cluster that has no synchro. A failure
// to begin, of which they may tell already, stays.
func withoutSynchro(v validity) []metav1.Condition {
	running := condition(v1alpha2.SynchroRunningCondition, metav1.ConditionFalse, v.reason, v.message)
	if v.ok() {
		running.Reason, running.Message = v1alpha2.SynchroWaitInitReason, messageWaitInit
	}
	return []metav1.Condition{
		running,
		condition(v1alpha2.ClusterHealthyCondition, metav1.ConditionUnknown, v1alpha2.ClusterMonitorStopReason, messageWaitSynchro),
	}
}

// conditions returns those of a cluster's synchro.
func (p phase) conditions(h health) []metav1.Condition {
	return []metav1.Condition{
		condition(v1alpha2.SynchroRunningCondition, statusOf(p.running), p.reason, p.message),
		p.health(h),
	}
}

func (p phase) health(h health) metav1.Condition {
	c := condition(v1alpha2.ClusterHealthyCondition, metav1.ConditionUnknown, v1alpha2.ClusterMonitorStopReason, "")
	switch {
	case p.reason == reasonShutdown:
		c.Message = messageShutdown
		if h.err != nil {
			c.Message = fmt.Sprintf("Last Condition Reason: %s, Message: %s", v1alpha2.ClusterNotReachableReason, shorten(h.err.Error()))
		}
	case !p.running:
		c.Message = messageWaitSynchro
	case h.checks == 0:
		c.Message = messageWaitMonitor
	case h.err != nil:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha2.ClusterNotReachableReason, shorten(h.err.Error())
	case h.versionErr != nil:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha2.ClusterHealthyReason, shorten(fmt.Sprintf(messageNoVersion, h.versionErr))
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha2.ClusterHealthyReason, messageHealthy
	}
	return c
}

// maxConditionMessage is what the API takes of a message, in bytes: names that are not served,
// or errors, may be longer, and would have the whole status refused.
const maxConditionMessage = 32 << 10

// setConditions puts conditions into a status, in place of those of the same type,
// and Ready, which follows from the others. The time of one moves only with its
// status.
func setConditions(status *v1alpha2.ClusterStatus, conditions ...metav1.Condition) {
	status.Conditions = slices.Clone(status.Conditions)
	meta.RemoveStatusCondition(&status.Conditions, v1alpha2.ClusterSynchroInitializedCondition) //nolint:staticcheck // Earlier versions wrote it.
	for _, c := range conditions {
		c.Message = cut(c.Message, maxConditionMessage)
		meta.SetStatusCondition(&status.Conditions, c)
	}
	meta.SetStatusCondition(&status.Conditions, ready(status.Conditions))
}

func ready(conditions []metav1.Condition) metav1.Condition {
	c := condition(v1alpha2.ReadyCondition, metav1.ConditionFalse, v1alpha2.NotReadyReason, "")
	for _, kind := range []string{v1alpha2.ValidatedCondition, v1alpha2.SynchroRunningCondition, v1alpha2.ClusterHealthyCondition} {
		needed := meta.FindStatusCondition(conditions, kind)
		if needed == nil {
			c.Message = kind + " condition is not found"
			return c
		}
		if needed.Status != metav1.ConditionTrue {
			c.Message = fmt.Sprintf("%s condition is %s, reason is %s", kind, needed.Status, needed.Reason)
			return c
		}
	}
	c.Status, c.Reason = metav1.ConditionTrue, v1alpha2.ReadyReason
	return c
}
