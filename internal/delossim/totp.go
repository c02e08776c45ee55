package delossim

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what authenticator apps use: RFC 6238
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// totpPeriod is how long a code is current (RFC 6238, the default that authenticator apps use).
const totpPeriod = 30 * time.Second

// decodeSeed reads a seed as authenticator apps show it: base32, in either case, padded or not, with spaces.
func decodeSeed(seed string) ([]byte, error) {
	seed = strings.ToUpper(strings.TrimRight(strings.ReplaceAll(seed, " ", ""), "="))
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(seed)
	if err != nil {
		return nil, fmt.Errorf("TOTP seed: %w", err)
	}
	if len(key) == 0 {
		return nil, fmt.Errorf("TOTP seed: empty")
	}
	return key, nil
}

// totpStep is the number of the period that t is in.
func totpStep(t time.Time) int64 { return t.Unix() / int64(totpPeriod/time.Second) }

// totpCode is the six-digit code of a period.
func totpCode(key []byte, step int64) string {
	mac := hmac.New(sha1.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(step)))
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0xf
	value := binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff
	return fmt.Sprintf("%06d", value%1_000_000)
}

// acceptCode finds the period that code is good for: the current one or a neighbor of it, for clocks that
// differ, and later than the last one used (RFC 6238, section 5.2: a code is good once).
func acceptCode(key []byte, code string, now time.Time, lastUsed int64) (step int64, ok bool) {
	current := totpStep(now)
	for step := current - 1; step <= current+1; step++ {
		if step > lastUsed && hmac.Equal([]byte(code), []byte(totpCode(key, step))) {
			return step, true
		}
	}
	return 0, false
}
