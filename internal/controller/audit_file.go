package controller

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// AuditFile is a file to which audit lines are appended, each a JSON object. It is opened for each line, so that it can be renamed at any
// time: the next line makes a new one.
type AuditFile struct {
	path    string
	encoder zapcore.Encoder
	now     func() time.Time

	mu sync.Mutex
	// torn: the last line was not written whole, and has no end.
	torn bool
}

// OpenAuditFile returns the file at a path, and makes it, for its owner alone, if it does not exist.
func OpenAuditFile(path string, now func() time.Time) (*AuditFile, error) {
	a := &AuditFile{path: path, now: now, encoder: zapcore.NewJSONEncoder(zapcore.EncoderConfig{TimeKey: "ts", EncodeTime: zapcore.RFC3339TimeEncoder})}
	file, err := a.open()
	if err != nil {
		return nil, err
	}
	return a, file.Close()
}

func (a *AuditFile) open() (*os.File, error) {
	// A pipe without a reader would hold up the operator for ever.
	if there, err := os.Stat(a.path); err == nil && !there.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", a.path)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(a.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
}

// write appends a line of these keys and values, which is on disk when write returns.
func (a *AuditFile) write(keysAndValues []any) error {
	var fields []zapcore.Field
	for i := 0; i+1 < len(keysAndValues); i += 2 {
		fields = append(fields, zap.Any(keysAndValues[i].(string), keysAndValues[i+1]))
	}
	line, err := a.encoder.EncodeEntry(zapcore.Entry{Time: a.now()}, fields)
	if err != nil {
		return err
	}
	defer line.Free()
	a.mu.Lock()
	defer a.mu.Unlock()
	file, err := a.open()
	if err != nil {
		return err
	}
	text := line.Bytes()
	if a.torn {
		text = append([]byte("\n"), text...)
	}
	written, err := file.Write(text)
	if written > 0 {
		a.torn = written < len(text)
	}
	return errors.Join(err, file.Sync(), file.Close())
}
