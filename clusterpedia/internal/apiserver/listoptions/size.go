package listoptions

// What one search may ask for. Databases bind a limited number of values to a statement,
// of which SQLite has the fewest with 32766, and nest conditions to a limited depth.
const (
	maxValues       = 10000
	maxRequirements = 256
)

// size refuses searches that no database could bear.
func (p *parser) size() error {
	q := p.query
	if n := len(q.Labels) + len(q.Fields); n > maxRequirements {
		return invalid("labelSelector and fieldSelector have %d requirements, a search may have %d", n, maxRequirements)
	}
	values := len(q.Types) + len(q.Clusters) + len(q.Namespaces) + len(q.Names) + len(q.NameContains)
	for _, r := range q.Labels {
		values += len(r.Values)
	}
	for _, r := range q.Fields {
		values += len(r.Values)
	}
	if values > maxValues {
		return invalid("the search has %d names and values, it may have %d", values, maxValues)
	}
	return nil
}
