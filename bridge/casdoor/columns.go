package casdoor

import (
	"strings"

	"app2wxapp/userpool"
)

// column is a field of Casdoor's user that is one of ours.
type column struct {
	title string // in messages
	get   func(userpool.User) string
	set   func(*userpool.User, string) // nil if get-account alone knows it
	// guarded is for an application only: users do not change it themselves.
	guarded bool
}

// attribute is a column that is an attribute of the user.
func attribute(title, name string) column {
	return column{
		title: title,
		get:   func(u userpool.User) string { return u.Attributes[name] },
		set:   func(u *userpool.User, v string) { u.Attributes[name] = v },
	}
}

// columns are those that update-user writes.
var columns = map[string]column{
	"displayName": {
		title: "Display name",
		get:   func(u userpool.User) string { return u.Profile.Nickname },
		set:   func(u *userpool.User, v string) { u.Profile.Nickname = v },
	},
	"avatar": {
		title: "Avatar",
		get:   func(u userpool.User) string { return u.Profile.AvatarURL },
		set:   func(u *userpool.User, v string) { u.Profile.AvatarURL = v },
	},
	"language": {
		title: "Language",
		get:   func(u userpool.User) string { return u.Profile.Language },
		set:   func(u *userpool.User, v string) { u.Profile.Language = v },
	},
	"gender": {
		title: "Gender",
		get:   func(u userpool.User) string { return genders[max(0, min(u.Profile.Gender, 2))] },
		set:   setGender,
	},
	"email":       {title: "Email", guarded: true, get: attribute("", "email").get, set: attribute("", "email").set},
	"firstName":   attribute("First name", "givenName"),
	"lastName":    attribute("Last name", "familyName"),
	"region":      attribute("Region", "region"),
	"location":    attribute("Location", "locality"),
	"affiliation": attribute("Affiliation", "affiliation"),
	"title":       attribute("Title", "title"),
	"homepage":    attribute("Homepage", "homepage"),
	"bio":         attribute("Bio", "bio"),
	"birthday":    attribute("Birthday", "birthdate"),
	"education":   attribute("Education", "education"),
}

// genders are Casdoor's words for ours, by number.
var genders = []string{"", "Male", "Female"}

func setGender(u *userpool.User, v string) {
	for n, word := range genders {
		if strings.EqualFold(word, v) {
			u.Profile.Gender = n
			return
		}
	}
	u.Profile.Gender = -1 // refused
}

// camel returns a column's name as JSON has it: Casdoor takes display_name, too.
func camel(name string) string {
	head, rest, _ := strings.Cut(strings.TrimSpace(name), "_")
	for part := range strings.SplitSeq(rest, "_") {
		if part != "" {
			head += strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return head
}
