// Package sdk runs Casdoor's own clients, unchanged, against a live bridge.
package sdk
