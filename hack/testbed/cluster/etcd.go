package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
)

// Compact has etcd forget all that is not the newest version of a key, as it does by
// itself after minutes. Lists that go on from a page of before are refused then.
func (c *Cluster) Compact(ctx context.Context) error {
	var status struct {
		Header struct {
			Revision json.Number `json:"revision"`
		} `json:"header"`
	}
	if err := c.callEtcd(ctx, "/v3/maintenance/status", map[string]any{}, &status); err != nil {
		return err
	}
	return c.callEtcd(ctx, "/v3/kv/compaction", map[string]any{"revision": status.Header.Revision, "physical": true}, nil)
}

func (c *Cluster) callEtcd(ctx context.Context, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	url := fmt.Sprintf("http://127.0.0.1:%d%s", c.ports.Etcd, path)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// Backup stops the control plane, copies etcd's data into a directory, which must not
// exist, and starts it again.
func (c *Cluster) Backup(ctx context.Context, dir string) error {
	if err := c.Stop(); err != nil {
		return err
	}
	if err := os.CopyFS(dir, os.DirFS(c.etcdDir())); err != nil {
		return fmt.Errorf("copy etcd's data: %w", err)
	}
	return c.Start(ctx)
}

// Restore stops the control plane, puts a backup in place of etcd's data, and starts
// it again: resource versions go back to those of the backup, and are given a second
// time.
func (c *Cluster) Restore(ctx context.Context, dir string) error {
	if err := c.Stop(); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(c.etcdDir()), os.CopyFS(c.etcdDir(), os.DirFS(dir))); err != nil {
		return fmt.Errorf("replace etcd's data: %w", err)
	}
	return c.Start(ctx)
}

func (c *Cluster) etcdDir() string { return filepath.Join(c.Dir, "etcd") }
