package membercluster

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/version"
)

// HealthTimeout bounds one health check.
const HealthTimeout = 5 * time.Second

// maxSmallBody bounds the answers of the health and version endpoints.
const maxSmallBody = 1 << 20

// CheckHealth returns nil if the member says that it is ready. It asks /readyz, or
// /healthz where that doesn't exist, and takes no longer than HealthTimeout.
func (c *Client) CheckHealth(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, HealthTimeout)
	defer cancel()
	_, err := c.getBytes(ctx, "/readyz", maxSmallBody)
	if apierrors.IsNotFound(err) {
		_, err = c.getBytes(ctx, "/healthz", maxSmallBody)
	}
	return err
}

// Version returns the member's version, such as "v1.37.2".
func (c *Client) Version(ctx context.Context) (string, error) {
	body, err := c.getBytes(ctx, "/version", maxSmallBody)
	if err != nil {
		return "", fmt.Errorf("get version: %w", err)
	}
	var info version.Info
	if err := json.Unmarshal(body, &info); err != nil {
		return "", fmt.Errorf("get version: decode the answer: %w", err)
	}
	return info.GitVersion, nil
}
