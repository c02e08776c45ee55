package plugin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// journalName is the file in which an import stores the users that it has read, until it has written all files. kubectl does not read it.
const journalName = ".kubectl-clientbindings.jsonl"

// scope is the selection of an import, and its start time.
type scope struct {
	Host   string    `json:"host"`
	Client string    `json:"client,omitempty"`
	Status string    `json:"status,omitempty"`
	Users  []string  `json:"users,omitempty"`
	Began  time.Time `json:"began"`
}

// same reports whether two imports have the same selection.
func (s scope) same(other scope) bool {
	other.Began = s.Began
	a, errA := json.Marshal(s)
	b, errB := json.Marshal(other)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// journal has one line for the scope and one for each person, as they are read.
type journal struct {
	file   *os.File
	scope  scope
	people []person
}

// openJournal opens the journal of a directory, or begins one. It cuts off an unfinished last line.
func openJournal(directory string, wanted scope) (*journal, error) {
	path := filepath.Join(directory, journalName)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{file: file, scope: wanted}
	if err := j.read(wanted); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return j, nil
}

func (j *journal) read(wanted scope) error {
	reader := bufio.NewReaderSize(j.file, 1<<20)
	var whole int64
	for first := true; ; first = false {
		line, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if first {
			if err := json.Unmarshal(line, &j.scope); err != nil {
				return fmt.Errorf("is no record of an import; remove it to begin anew: %w", err)
			}
			if !j.scope.same(wanted) {
				return errors.New("is the record of an unfinished import of something else; finish that one, or use --restart or another directory")
			}
		} else {
			var one person
			if err := json.Unmarshal(line, &one); err != nil {
				return fmt.Errorf("has a line that cannot be read; use --restart: %w", err)
			}
			j.people = append(j.people, one)
		}
		whole += int64(len(line))
	}
	if err := j.file.Truncate(whole); err != nil {
		return err
	}
	if _, err := j.file.Seek(whole, io.SeekStart); err != nil {
		return err
	}
	if whole == 0 {
		return j.append(wanted)
	}
	return nil
}

func (j *journal) append(value any) error {
	line, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = j.file.Write(append(line, '\n'))
	return err
}

// add keeps a person that was read.
func (j *journal) add(one person) error {
	j.people = append(j.people, one)
	return j.append(one)
}

// close closes the journal, and removes it if the import is finished.
func (j *journal) close(finished bool) error {
	err := j.file.Close()
	if finished {
		err = errors.Join(err, os.Remove(j.file.Name()))
	}
	return err
}
