package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Status is what a PediaCluster says of itself.
type Status struct {
	APIServer     string             `json:"apiserver"`
	Version       string             `json:"version"`
	Conditions    []metav1.Condition `json:"conditions"`
	SyncResources []struct {
		Group     string `json:"group"`
		Resources []struct {
			Name           string `json:"name"`
			SyncConditions []struct {
				Version          string `json:"version"`
				Status           string `json:"status"`
				Reason           string `json:"reason"`
				Message          string `json:"message"`
				InitialListPhase bool   `json:"initialListPhase"`
			} `json:"syncConditions"`
		} `json:"resources"`
	} `json:"syncResources"`
}

// Status returns the status of a PediaCluster.
func (s *Stack) Status(ctx context.Context, name string) (Status, error) {
	var status Status
	u, err := s.dynamic.Resource(pediaClusters).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return status, err
	}
	if raw, ok := u.Object["status"].(map[string]any); ok {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &status)
	}
	return status, err
}

// Synced returns nil if the cluster is ready and all of its resources are stored.
func (s Status) Synced() error {
	ready := false
	for _, c := range s.Conditions {
		if c.Type == "Ready" {
			ready = c.Status == metav1.ConditionTrue
			if !ready {
				return fmt.Errorf("not ready: %s", c.Message)
			}
		}
	}
	if !ready || len(s.SyncResources) == 0 {
		return fmt.Errorf("not ready yet")
	}
	for _, group := range s.SyncResources {
		for _, r := range group.Resources {
			for _, c := range r.SyncConditions {
				if c.Status != "Syncing" || c.InitialListPhase {
					return fmt.Errorf("%s %s: %s %s %s", group.Group, r.Name, c.Status, c.Reason, c.Message)
				}
			}
		}
	}
	return nil
}

// WaitSynced returns when a cluster is synced. What it waits for is told to
// progress, which may be nil.
func (s *Stack) WaitSynced(ctx context.Context, name string, limit time.Duration, progress func(string)) error {
	last := ""
	err := s.poll(ctx, limit, func() error {
		status, err := s.Status(ctx, name)
		if err == nil {
			err = status.Synced()
		}
		if err != nil && progress != nil && err.Error() != last {
			last = err.Error()
			progress(last)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("cluster %s is not synced: %w", name, err)
	}
	return nil
}

// WriteKubeconfig writes a kubeconfig with the context clusterpedia, for all
// clusters at once, and one for each cluster, named as it is.
func (s *Stack) WriteKubeconfig(path string, clusters ...string) error {
	text, err := os.ReadFile(s.Host.Kubeconfig())
	if err != nil {
		return err
	}
	var host struct {
		Clusters []struct{ Cluster object }
		Users    []object
	}
	if err := json.Unmarshal(text, &host); err != nil {
		return err
	}
	entries, contexts := []object{}, []object{}
	add := func(name, server string) {
		entry := object{"server": server, "certificate-authority-data": host.Clusters[0].Cluster["certificate-authority-data"]}
		entries = append(entries, object{"name": name, "cluster": entry})
		contexts = append(contexts, object{"name": name, "context": object{"cluster": name, "user": "admin"}})
	}
	add("clusterpedia", s.Host.URL()+Root)
	add("host", s.Host.URL())
	for _, name := range clusters {
		add(name, s.Host.URL()+Root+"/clusters/"+name)
	}
	out, err := json.MarshalIndent(object{
		"apiVersion": "v1", "kind": "Config", "current-context": "clusterpedia",
		"clusters": entries, "users": host.Users, "contexts": contexts,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, out, 0o600)
}
