package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"clusterpedia.io/storage-api/storage"
)

// config is the file of --storage-config.
type config struct {
	// Address is host:port of the server.
	Address string `json:"address"`
	// Username and Password may be left out; the password may come from
	// $REDIS_PASSWORD.
	Username string `json:"username"`
	Password string `json:"password"`
	// DB is the number of the server's database.
	DB int `json:"db"`
	// Prefix is what all keys begin with; "clusterpedia" by default.
	Prefix string `json:"prefix"`
}

// Open connects to a Redis server.
func Open(ctx context.Context, s storage.Settings) (storage.Storage, error) {
	c := config{Prefix: "clusterpedia", Password: os.Getenv("REDIS_PASSWORD")}
	d := json.NewDecoder(bytes.NewReader(s.Config))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return nil, fmt.Errorf("%s: %w", s.ConfigPath, err)
	}
	if c.Address == "" {
		return nil, fmt.Errorf("%s: address is required, the host:port of the Redis server", s.ConfigPath)
	}
	client := redis.NewClient(&redis.Options{Addr: c.Address, Username: c.Username, Password: c.Password, DB: c.DB, ContextTimeoutEnabled: true})
	if err := client.Ping(ctx).Err(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: address %s: %w", s.ConfigPath, c.Address, err), client.Close())
	}
	return &Store{backend: &redisBackend{client: client, prefix: c.Prefix}}, nil
}

// redisBackend keeps the entries of each cluster in a hash, and the names of the
// clusters in a set.
type redisBackend struct {
	client *redis.Client
	prefix string
}

func (r *redisBackend) set() string                { return r.prefix + ":clusters" }
func (r *redisBackend) hash(cluster string) string { return r.prefix + ":cluster:" + cluster }

func (r *redisBackend) clusters(ctx context.Context) ([]string, error) {
	names, err := r.client.SMembers(ctx, r.set()).Result()
	return names, classify(err)
}

func (r *redisBackend) all(ctx context.Context, cluster string) (map[string][]byte, error) {
	found, err := r.client.HGetAll(ctx, r.hash(cluster)).Result()
	if err != nil {
		return nil, classify(err)
	}
	entries := make(map[string][]byte, len(found))
	for key, entry := range found {
		entries[key] = []byte(entry)
	}
	return entries, nil
}

func (r *redisBackend) get(ctx context.Context, cluster, key string) ([]byte, error) {
	return read(ctx, r.client, r.hash(cluster), key)
}

func read(ctx context.Context, client redis.Cmdable, hash, key string) ([]byte, error) {
	entry, err := client.HGet(ctx, hash, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return entry, classify(err)
}

// retryPause is the first pause before an update that met another is done again.
const retryPause = time.Millisecond

// update reads under WATCH and writes in a transaction, which fails if anybody has
// written to the cluster since.
func (r *redisBackend) update(ctx context.Context, cluster string, change func(func(string) ([]byte, error)) (map[string][]byte, error)) error {
	hash := r.hash(cluster)
	for pause := retryPause; ; pause = min(2*pause, 100*retryPause) {
		err := r.client.Watch(ctx, func(tx *redis.Tx) error {
			writes, err := change(func(key string) ([]byte, error) { return read(ctx, tx, hash, key) })
			if err != nil || len(writes) == 0 {
				return err
			}
			_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
				p.SAdd(ctx, r.set(), cluster)
				for key, entry := range writes {
					if entry == nil {
						p.HDel(ctx, hash, key)
					} else {
						p.HSet(ctx, hash, key, entry)
					}
				}
				return nil
			})
			return err
		}, hash)
		if !errors.Is(err, redis.TxFailedErr) {
			return classify(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (r *redisBackend) close() error { return r.client.Close() }

// passing are the errors of a server that will serve again.
var passing = []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "OOM"}

// classify tells the writer whether to try again: yes after whatever happened on the
// way to the server, and when the server says so.
func classify(err error) error {
	var answer redis.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, redis.ErrClosed),
		storage.IsRetryable(err), errors.Is(err, storage.ErrFenced):
		return err
	case errors.As(err, &answer):
		for _, prefix := range passing {
			if strings.HasPrefix(answer.Error(), prefix) {
				return storage.Retryable(err)
			}
		}
		return err
	}
	return storage.Retryable(err)
}
