package classic

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"gorm.io/gorm"

	"clusterpedia.io/bench/baseline/oldtable"
)

// pods selects all pods.
func (r *reader) pods(ctx context.Context) *gorm.DB {
	return r.DB.WithContext(ctx).Model(&oldtable.Resource{}).
		Where(oldtable.Quote(r.Engine, "group")+" = ? AND resource = ? AND version = ?", "", "pods", "v1")
}

// fuzzyName is the label that stands for a part of the name.
const fuzzyName = "internalstorage.clusterpedia.io/fuzzy-name"

// conditions adds what the request asks for. The benchmark's own requests are all that
// it understands: its paths and texts are not checked.
func (r *reader) conditions(db *gorm.DB) (*gorm.DB, error) {
	if r.cluster != "" {
		db = db.Where("cluster = ?", r.cluster)
	}
	if r.namespace != "" {
		db = db.Where("namespace = ?", r.namespace)
	}
	if where := r.values.Get("whereSQL"); where != "" {
		db = db.Where("(" + where + ")")
	}
	for key, value := range requirements(r.values.Get("labelSelector")) {
		if key == fuzzyName {
			db = db.Where("name LIKE ?", "%"+value+"%")
			continue
		}
		db = db.Where(oldtable.Path(r.Engine, "metadata", "labels", key)+" = ?", value)
	}
	for path, value := range requirements(r.values.Get("fieldSelector")) {
		db = db.Where(oldtable.Path(r.Engine, strings.Split(path, ".")...)+" = ?", value)
	}
	return r.owner(db)
}

// requirements splits a selector of equations.
func requirements(selector string) map[string]string {
	all := map[string]string{}
	for part := range strings.SplitSeq(selector, ",") {
		if key, value, ok := strings.Cut(part, "="); ok {
			all[key] = value
		}
	}
	return all
}

// owner adds the condition that an owner, some generations up, has a UID.
func (r *reader) owner(db *gorm.DB) (*gorm.DB, error) {
	uid := r.values.Get("ownerUID")
	if uid == "" {
		return db, nil
	}
	seniority := 0
	if text := r.values.Get("ownerSeniority"); text != "" {
		var err error
		if seniority, err = strconv.Atoi(text); err != nil {
			return nil, fmt.Errorf("ownerSeniority: %w", err)
		}
	}
	if seniority == 0 {
		return db.Where("owner_uid = ?", uid), nil
	}
	fresh := func() *gorm.DB { return r.DB.Model(&oldtable.Resource{}).Select("uid").Where("cluster = ?", r.cluster) }
	owners := fresh().Where("owner_uid = ?", uid)
	for range seniority - 1 {
		owners = fresh().Where("owner_uid IN (?)", owners)
	}
	return db.Where("owner_uid IN (?)", owners), nil
}

type page struct{ limit, offset int64 }

// page adds order, limit and offset.
func (r *reader) page(db *gorm.DB) (*gorm.DB, page) {
	if order := r.values.Get("orderby"); order != "" {
		db = db.Order(order)
	}
	number := func(key string) int64 {
		n, _ := strconv.ParseInt(r.values.Get(key), 10, 64) // 0 for none
		return n
	}
	p := page{number("limit"), number("continue")}
	if p.limit > 0 {
		db = db.Limit(int(p.limit))
	}
	if p.offset > 0 {
		db = db.Offset(int(p.offset))
	}
	return db, p
}
