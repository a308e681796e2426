package listoptions

import (
	"strconv"
	"strings"
	"time"
)

// texts is a list: separated by commas in a URL, without blanks around them.
type texts struct{ to *[]string }

func (s texts) fromURL(list string) (bool, error) {
	list = strings.TrimSpace(list)
	if list == "" {
		return false, nil
	}
	*s.to = strings.Split(list, ",")
	return true, nil
}

func (s texts) fromLabel(values []string) (bool, error) {
	*s.to = values
	return true, nil
}

// parts are texts that must all be found. Each further label adds its own, so no
// label ever gives them for good.
type parts struct{ to *[]string }

func (s parts) fromURL(string) (bool, error) { return false, nil }

func (s parts) fromLabel(values []string) (bool, error) {
	for _, v := range values {
		if v = strings.TrimSpace(v); v != "" {
			*s.to = append(*s.to, v)
		}
	}
	return false, nil
}

// text is taken as it is.
type text struct{ to *string }

func (s text) fromURL(value string) (bool, error) {
	*s.to = value
	return value != "", nil
}

func (s text) fromLabel(values []string) (bool, error) { return s.fromURL(values[0]) }

// seniority is a number of generations.
type seniority struct{ to *int }

func (s seniority) fromURL(value string) (bool, error) {
	n, err := strconv.Atoi(value)
	if err != nil {
		return false, invalid("%v", err)
	}
	*s.to = n
	return n != 0, nil
}

func (s seniority) fromLabel(values []string) (bool, error) {
	given, err := s.fromURL(values[0])
	if err != nil {
		return false, invalid("Invalid Query OwnerSeniority(%s): %v", values[0], err)
	}
	return given, nil
}

// limit is a number of objects.
type limit struct{ to *int64 }

func (s limit) fromURL(value string) (bool, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return false, invalid("%v", err)
	}
	*s.to = n
	return n != 0, nil
}

func (s limit) fromLabel(values []string) (bool, error) {
	given, err := s.fromURL(values[0])
	if err != nil {
		return false, invalid("Invalid Query Limit: %v", err)
	}
	return given, nil
}

// flag is a boolean. As in all of Kubernetes' queries anything but 0 and false is
// true, also the empty text.
type flag struct{ to **bool }

func (s flag) fromURL(value string) (bool, error) {
	b := parseFlag(value)
	*s.to = &b
	return true, nil
}

func (s flag) fromLabel(values []string) (bool, error) { return s.fromURL(values[0]) }

func parseFlag(value string) bool {
	return value != "0" && !strings.EqualFold(value, "false")
}

// moment is a point in time. Its name is that of the known messages.
type moment struct {
	name string
	to   *time.Time
}

func (s moment) fromURL(value string) (bool, error) {
	if value == "" {
		return false, nil
	}
	t, err := parseTime(value)
	if err != nil {
		return false, err
	}
	*s.to = t
	return true, nil
}

func (s moment) fromLabel(values []string) (bool, error) {
	given, err := s.fromURL(values[0])
	if err != nil {
		return false, invalid("Invalid Query %s(%s): %v", s.name, values[0], err)
	}
	return given, nil
}

// parseTime reads a time in one of the forms that its message names. A time
// without a zone is in UTC.
func parseTime(value string) (time.Time, error) {
	malformed := func() (time.Time, error) {
		return time.Time{}, invalid("Invalid datetime: %s, a valid datetime format: "+
			"RFC3339, Datetime(2006-01-02 15:04:05), Date(2006-01-02), Unix Timestamp", value)
	}
	var t time.Time
	var err error
	switch trimmed := strings.TrimSpace(value); {
	case strings.Contains(trimmed, "T"):
		t, err = time.Parse(time.RFC3339, value)
	case strings.Contains(trimmed, " "):
		t, err = time.Parse(time.DateTime, value)
	case strings.Contains(trimmed, "-"):
		t, err = time.Parse(time.DateOnly, value)
	default:
		n, parseErr := strconv.ParseInt(value, 10, 64)
		if parseErr != nil {
			return malformed()
		}
		switch len(value) {
		case 10:
			t = time.Unix(n, 0)
		case 13:
			t = time.UnixMilli(n)
		default:
			return time.Time{}, invalid("Invalid timestamp: only timestamps with string lengths of 10(as s) and 13(as ms) are supported")
		}
	}
	t = t.UTC()
	// The zero time would count as none, and neither JSON nor databases know
	// years beyond four digits.
	if err != nil || t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		return malformed()
	}
	return t, nil
}
