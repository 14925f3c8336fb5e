package userpool

import (
	"regexp"
	"slices"
)

// maxAttribute is the length of an attribute, in bytes.
const maxAttribute = 512

// attributeNames are the names that Attributes may have. Those that OpenID
// Connect knows are spelt as Authing spells them.
var attributeNames = []string{
	"address", "affiliation", "bio", "birthdate", "browser", "company", "device", "education", "email", "familyName",
	"formatted", "givenName", "homepage", "locale", "locality", "middleName", "name", "postalCode", "preferredUsername",
	"profile", "region", "streetAddress", "title", "website", "zoneinfo",
}

// AttributeNames returns the names that a user's attributes may have, in order.
func AttributeNames() []string { return slices.Clone(attributeNames) }

var mailAddress = regexp.MustCompile(`^[^@\s<>"]+@[^@\s<>"]+$`)

// validateAttributes returns an *InvalidError for the first one, by name, that
// cannot be.
func validateAttributes(a map[string]string) error {
	left := len(a)
	for _, name := range attributeNames {
		v, ok := a[name]
		if !ok {
			continue
		}
		left--
		switch {
		case len(v) > maxAttribute:
			return Invalid(name, "must be at most 512 bytes", "最多 512 字节")
		case hasControl(v):
			return Invalid(name, "must have no control characters", "不能含控制字符")
		case name == "email" && v != "" && !mailAddress.MatchString(v):
			return Invalid(name, "must be an e-mail address", "必须为邮箱地址")
		}
	}
	if left > 0 {
		return Invalid("attributes", "have a name that is not known", "含未知的名称")
	}
	return nil
}
