package plugin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// halfWritten is the prefix of the names of unfinished files. kubectl does not read such files, and the next run
// removes them.
const halfWritten = ".kubectl-clientbindings-"

// writeFile writes a whole file, or none.
func writeFile(path string, content []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), halfWritten)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close(), os.Remove(file.Name()))
		}
	}()
	if _, err := file.Write(content); err != nil {
		return err
	}
	if err := errors.Join(file.Chmod(0o644), file.Sync()); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return os.Rename(file.Name(), path)
}

// mayWrite tries whether a file can be written, before what it is to have is read.
func mayWrite(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory: name a file in it", path)
	}
	file, err := os.CreateTemp(filepath.Dir(path), halfWritten)
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}

// removeHalfWritten removes the unfinished files of interrupted runs from a directory.
func removeHalfWritten(directory string) error {
	left, err := filepath.Glob(filepath.Join(directory, halfWritten+"*"))
	for _, path := range left {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
