package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Case is one entry of a file in testdata/cases: requests, and what each of them must
// be answered with.
type Case struct {
	// Case is the number in section 12 of the contract, or a name. It is unique in its file.
	Case string `json:"case"`
	// Note says why, where that is not plain: what of the contract was changed, and by whom.
	Note string `json:"note"`
	// Pending says why the servers do not answer like this yet. A pending case must
	// fail: one that passes has to lose the mark.
	Pending string `json:"pending"`
	// Storage are the storages that the case is for; empty: all. "SQL" is all but memory.
	Storage list `json:"storage"`
	// Server are arguments of an apiserver that is started for the case, and for all
	// others with the same ones. Empty: the deployment's own.
	Server string `json:"server"`

	// URL is what to request, one or several, in the terms of the contract: they begin with
	// B, M, C(cluster), D or CO, or with a slash. What cannot stand in a URL as it is, such
	// as a blank, is escaped; percent signs, plus signs and ampersands stand for themselves.
	URL list `json:"url"`
	// Method is GET if empty.
	Method string `json:"method"`
	// As is the user, admin if empty; Via "host" sends the request through the
	// host cluster in place of straight to the apiserver.
	As     string            `json:"as"`
	Via    string            `json:"via"`
	Accept string            `json:"accept"`
	Header map[string]string `json:"header"`
	// Labels are requirements, one each, of a label selector that is added to the query.
	Labels list `json:"labels"`
	// Follow asks for more with each answer's continue, until none has one. What is
	// expected is of all items together.
	Follow bool `json:"follow"`
	// Hostile answers must tell nothing of the database, and leave it as it is.
	Hostile bool `json:"hostile"`

	Expect `json:",inline"`
}

// Expect is what an answer must be. What is not given is not compared, but the status.
type Expect struct {
	// Status is 200 if it is 0.
	Status int `json:"status"`
	// Message is that of a Status, whole; MessageHas are parts of it. Both check the
	// form of the Status too.
	Message    string `json:"message"`
	MessageHas list   `json:"messageHas"`
	// Reason is that of a Status, if it is not what its code implies; "none" for none.
	Reason string `json:"reason"`
	// NotFound is for the plain text of paths that lead nowhere.
	NotFound bool `json:"notFound"`
	// Text is the whole body.
	Text *string `json:"text"`

	// Items is the number of items, or rows.
	Items *int `json:"items"`
	// Objects are the items as "1/web 2/api", by cluster and name, in any order; Order in theirs.
	// Clusters without a number stand there by their names.
	Objects *string `json:"objects"`
	Order   *string `json:"order"`
	// Fields are JSONPaths, as kubectl's, and what they print. One that leads nowhere
	// prints nothing.
	Fields map[string]string `json:"fields"`
	// Columns and Rows are those of a Table, of rows the first cells.
	Columns string   `json:"columns"`
	Rows    []string `json:"rows"`
	// Headers are expressions that the headers match, Warnings those that each of the
	// warnings matches one of.
	Headers  map[string]string `json:"headers"`
	Warnings *list             `json:"warnings"`
	// Watch are the events of a watch as "ADDED 1/web ADDED 2/web", in any order, or
	// "ERROR 410" for the code of a Status.
	Watch *string `json:"watch"`
	// Versions are the clusters, as "cluster-1 cluster-2", whose versions are in the
	// resource version of a list.
	Versions string `json:"versions"`
	// Has and Lacks are parts of the body, or not.
	Has   list `json:"has"`
	Lacks list `json:"lacks"`
}

// list is a list of texts, of which one may be written without brackets.
type list []string

// UnmarshalJSON implements json.Unmarshaler.
func (l *list) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*l = list{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(l))
}

// file is a file of cases.
type file struct {
	name  string
	cases []*Case
}

// readCases reads and checks the files of a directory.
func readCases(dir string) ([]file, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("no cases in %s: %w", dir, err)
	}
	var files []file
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		f := file{name: strings.TrimSuffix(filepath.Base(name), ".yaml")}
		if err := yaml.UnmarshalStrict(text, &f.cases); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		seen := map[string]bool{}
		for _, c := range f.cases {
			if err := c.check(); err != nil {
				return nil, fmt.Errorf("%s: case %s: %w", name, c.Case, err)
			}
			if seen[c.Case] {
				return nil, fmt.Errorf("%s: case %s stands there twice", name, c.Case)
			}
			seen[c.Case] = true
		}
		files = append(files, f)
	}
	return files, nil
}

func (c *Case) check() error {
	switch {
	case c.Case == "" || strings.ContainsAny(c.Case, "/ "):
		return errors.New("case must be a name without blanks and slashes")
	case len(c.URL) == 0:
		return errors.New("url is not set")
	case c.Via != "" && c.Via != "host":
		return fmt.Errorf("via must be host, not %q", c.Via)
	}
	if _, known := users()[c.user()]; !known {
		return fmt.Errorf("as: %q is no user", c.As)
	}
	for _, storage := range c.Storage {
		if storage != anySQL && !slices.Contains(storages(), storage) {
			return fmt.Errorf("storage: %q is unknown", storage)
		}
	}
	return nil
}

func (c *Case) user() string {
	if c.As == "" {
		return "admin"
	}
	return c.As
}

// anySQL stands for all storages but memory.
const anySQL = "SQL"

// isFor reports whether the case is for a storage.
func (c *Case) isFor(storage string) bool {
	if c.Server != "" && storage == memory {
		return false // another process has another memory
	}
	return len(c.Storage) == 0 || slices.Contains(c.Storage, storage) || slices.Contains(c.Storage, anySQL) && storage != memory
}
