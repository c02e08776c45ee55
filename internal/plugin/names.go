package plugin

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// declarable are the ids that the CRD takes.
var declarable = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

const (
	// slugLength keeps names readable, and within the 253 characters that Kubernetes allows.
	slugLength = 60
	hashLength = 10
)

// objectName is the name of the ClientBinding of a relation. It depends only on the two ids, so it is the same in every import. Ids that
// differ only in characters that a name cannot have get different names.
func objectName(userUUID, cuid string) string {
	return join(slug(userUUID), slug(cuid), hash(userUUID+"/"+cuid))
}

// fileName is the name of the file about a client or a user. File systems may not tell upper case from lower case.
func fileName(id string) string {
	if plain := strings.ToLower(id); plain == id && len(id) <= 2*slugLength && id[0] != '-' {
		return id + ".yaml"
	}
	return join(slug(id), hash(id)) + ".yaml"
}

// slug is the part of an id that a name can have.
func slug(id string) string {
	id = strings.ReplaceAll(strings.ToLower(id), "_", "-")
	return strings.Trim(id[:min(len(id), slugLength)], "-")
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:hashLength]
}

func join(parts ...string) string {
	var some []string
	for _, part := range parts {
		if part != "" {
			some = append(some, part)
		}
	}
	return strings.Join(some, "-")
}
