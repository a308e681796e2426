package synchro

import (
	"hash/maphash"
	"maps"
	"strconv"
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
// their way. It takes little more memory than their names.
type known struct {
	mu      sync.Mutex
	objects nameTable
	// revisions are those of the objects, by their numbers in the table.
	revisions []revision
	// uids stand for the UIDs of the objects that are stored, by the same numbers; 0: it is
	// unknown, or there is none.
	uids []uint32
	// listed holds a bit for each object that was put since the list began that is
	// being read, and renewed one for those whose revision was another; nil outside of
	// lists.
	listed, renewed bitSet
	// highest is the highest version of an object.
	highest uint64
	// doubts counts how often all revisions were forgotten.
	doubts int
	// events are the resource versions of the recorded Events, by their UIDs, as they
	// were stored when the process began; nil once they were taken.
	events map[string]string
}

func newKnown() *known { return &known{objects: newNameTable()} }

func (k *known) revision(uid, resourceVersion string) revision {
	var h maphash.Hash
	h.SetSeed(k.objects.seed)
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
	n, added := k.add(name)
	known := !added && k.revisions[n] == r
	k.revisions[n] = r
	if k.listed != nil {
		k.listed.add(n)
		if !known {
			k.renewed.add(n)
		}
	}
	return known
}

// add returns the number of a name, and whether it is new, so that its revision is 0.
func (k *known) add(name objectName) (n uint32, added bool) {
	n, added = k.objects.add(name)
	if int(n) == len(k.revisions) {
		k.revisions, k.uids = append(k.revisions, 0), append(k.uids, 0)
	}
	if added {
		k.revisions[n], k.uids[n] = 0, 0
	}
	return n, added
}

// reached takes notice of the version of an object.
func (k *known) reached(resourceVersion string) {
	n, err := strconv.ParseUint(resourceVersion, 10, 64)
	if err != nil {
		return // versions that are no numbers cannot be compared
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.highest = max(k.highest, n)
}

// newest returns the highest version of an object that was reached.
func (k *known) newest() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.highest
}

// has reports whether there is an object of that name.
func (k *known) has(name objectName) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.objects.find(name)
	return ok
}

func (k *known) uid(uid string) uint32 {
	return uint32(maphash.String(k.objects.seed, uid)) | 1 //nolint:gosec // as much as is needed
}

// stored says that an object is stored with a UID; empty: that none is.
func (k *known) stored(name objectName, uid string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, ok := k.objects.find(name)
	switch {
	case !ok:
	case uid == "":
		k.uids[n] = 0
	default:
		k.uids[n] = k.uid(uid)
	}
}

// stores reports whether an object is stored with a UID.
func (k *known) stores(name objectName, uid string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, ok := k.objects.find(name)
	return ok && k.uids[n] == k.uid(uid)
}

// awaits reports whether there is an object of that name of which the storage layer has
// none, or not the last revision.
func (k *known) awaits(name objectName) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, ok := k.objects.find(name)
	return ok && (k.uids[n] == 0 || k.revisions[n] == 0)
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

// doubt forgets a revision that was not written after all; what is stored of the
// object is unknown then. A later revision is left alone.
func (k *known) doubt(name objectName, r revision) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n, ok := k.objects.find(name); ok && k.revisions[n] == r {
		k.revisions[n] = 0
	}
}

// written says that a revision is stored after all that was doubted, unless all have been
// since there were so many doubts.
func (k *known) written(name objectName, r revision, doubts int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n, ok := k.objects.find(name); ok && k.revisions[n] == 0 && k.doubts == doubts {
		k.revisions[n] = r
	}
}

// allDoubts returns how often all revisions were forgotten.
func (k *known) allDoubts() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.doubts
}

// restored says that versions are given a second time. It forgets all revisions but
// those that came with the list that is being read.
func (k *known) restored() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for n := range k.revisions {
		if !k.renewed.has(uint32(n)) { //nolint:gosec // numbers fit
			k.revisions[n] = 0
		}
	}
	k.highest = 0
	k.doubts++
}

// doubtAll forgets all revisions, and those too that came with a list that was not read
// to its end.
func (k *known) doubtAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.listed, k.renewed = nil, nil
	clear(k.revisions)
	k.doubts++
}

// doubtRemoval says that an object was not removed after all. It is as if it had not
// been in the list.
func (k *known) doubtRemoval(name objectName) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.add(name)
}

func (k *known) remove(name objectName) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n, ok := k.objects.remove(name); ok {
		k.listed.remove(n)
		k.renewed.remove(n)
	}
}

// beginList begins a new list.
func (k *known) beginList() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.listed, k.renewed = make(bitSet, len(k.revisions)/64+1), nil
}

// abandonList ends the list, if there is one, that will not be read to its end.
func (k *known) abandonList() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.listed, k.renewed = nil, nil
}

// unlisted ends the list, and returns the names of the objects that were not put since
// beginList.
func (k *known) unlisted() []objectName {
	k.mu.Lock()
	defer k.mu.Unlock()
	var names []objectName
	k.objects.each(func(n uint32) {
		if !k.listed.has(n) {
			names = append(names, k.objects.name(n))
		}
	})
	k.listed, k.renewed = nil, nil
	k.objects.trim()
	k.revisions, k.uids = trimmed(k.revisions), trimmed(k.uids)
	return names
}

// counts returns how many objects are stored, or on their way, and of how many that is
// in doubt.
func (k *known) counts() (certain, doubted int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.objects.each(func(n uint32) {
		if k.revisions[n] == 0 {
			doubted++
		}
	})
	return k.objects.length() - doubted, doubted
}

func (k *known) len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.objects.length()
}

// bitSet is a set of small numbers.
type bitSet []uint64

func (s *bitSet) add(n uint32) {
	for int(n/64) >= len(*s) {
		*s = append(*s, 0)
	}
	(*s)[n/64] |= 1 << (n % 64)
}

func (s bitSet) has(n uint32) bool { return int(n/64) < len(s) && s[n/64]&(1<<(n%64)) != 0 }

func (s bitSet) remove(n uint32) {
	if s.has(n) {
		s[n/64] &^= 1 << (n % 64)
	}
}
