package userpool

import "fmt"

// InvalidError is bad input: a field and what must stand there, in the two
// languages that callers read. It never holds the value, which may be a secret.
type InvalidError struct {
	Field string // as the caller spells it
	EN    string // "must be …"
	ZH    string
}

func (e *InvalidError) Error() string { return fmt.Sprintf("%s %s", e.Field, e.EN) }

// Invalid returns an *InvalidError.
func Invalid(field, en, zh string) error {
	return &InvalidError{Field: field, EN: en, ZH: zh}
}
