package synchro

import (
	"hash/maphash"
	"maps"
	"sync"

	"clusterpedia.io/clusterpedia/internal/synchro/document"
)

// objectName names an object of one resource.
type objectName struct{ namespace, name string }

func (n objectName) String() string {
	if n.namespace == "" {
		return n.name
	}
	return n.namespace + "/" + n.name
}

func nameOf(h document.Head) objectName { return objectName{h.Namespace, h.Name} }

// revision stands for a UID and a resource version. Zero is none that any object
// has.
type revision uint64

// known remembers which revisions of the objects of one resource are stored, or on
// their way. It takes no more memory than their names.
type known struct {
	seed maphash.Seed

	mu      sync.Mutex
	objects map[objectName]seen
	// namespaces holds one string for each namespace, for all names in it.
	namespaces map[string]string
	list       uint32
	// events are the resource versions of the recorded Events, by their UIDs, as they
	// were stored when the process began; nil once they were taken.
	events map[string]string
}

type seen struct {
	revision revision
	// list is the number of the last list that had the object.
	list uint32
}

func newKnown() *known {
	return &known{seed: maphash.MakeSeed(), objects: map[objectName]seen{}, namespaces: map[string]string{}}
}

func (k *known) revision(uid, resourceVersion string) revision {
	var h maphash.Hash
	h.SetSeed(k.seed)
	// A hash never fails, and no UID holds a zero byte.
	h.WriteString(uid)
	h.WriteByte(0)
	h.WriteString(resourceVersion)
	return revision(h.Sum64() | 1)
}

// put remembers a revision, unless it is known, and reports whether it was.
func (k *known) put(name objectName, r revision) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	old, ok := k.objects[name]
	if !ok {
		name = k.intern(name)
	}
	k.objects[name] = seen{r, k.list}
	return ok && old.revision == r
}

// has reports whether there is an object of that name.
func (k *known) has(name objectName) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.objects[name]
	return ok
}

// addEvents remembers Events that are stored.
func (k *known) addEvents(versions map[string]string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.events == nil {
		k.events = make(map[string]string, len(versions))
	}
	maps.Copy(k.events, versions)
}

// takeEvents returns the Events that are stored, once.
func (k *known) takeEvents() map[string]string {
	k.mu.Lock()
	defer k.mu.Unlock()
	events := k.events
	k.events = nil
	return events
}

func (k *known) intern(name objectName) objectName {
	if shared, ok := k.namespaces[name.namespace]; ok {
		name.namespace = shared
	} else {
		k.namespaces[name.namespace] = name.namespace
	}
	return name
}

// doubt forgets a revision that was not written after all; what is stored of the
// object is unknown then. A later revision is left alone.
func (k *known) doubt(name objectName, r revision) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if old, ok := k.objects[name]; ok && old.revision == r {
		k.objects[name] = seen{0, old.list}
	}
}

// doubtAll says of all objects that they are stored in another way than they should.
func (k *known) doubtAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, s := range k.objects {
		k.objects[name] = seen{0, s.list}
	}
}

// doubtRemoval says that an object was not removed after all.
func (k *known) doubtRemoval(name objectName) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.objects[name]; !ok {
		k.objects[k.intern(name)] = seen{0, k.list - 1}
	}
}

func (k *known) remove(name objectName) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.objects, name)
}

// beginList begins a new list.
func (k *known) beginList() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list++
}

// unlisted returns the names of the objects that were not put since beginList.
func (k *known) unlisted() []objectName {
	k.mu.Lock()
	defer k.mu.Unlock()
	var names []objectName
	for name, s := range k.objects {
		if s.list != k.list {
			names = append(names, name)
		}
	}
	return names
}

// counts returns how many objects are stored, or on their way, and of how many that is
// in doubt.
func (k *known) counts() (certain, doubted int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.objects {
		if s.revision == 0 {
			doubted++
		}
	}
	return len(k.objects) - doubted, doubted
}

func (k *known) len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.objects)
}
