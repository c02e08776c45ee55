// Licences prints the licences of all modules that go into programs of this repository, for a release that has to carry them. It reads
// them from the module cache.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
)

// legal matches the names of files that a licence asks to hand on.
var legal = regexp.MustCompile(`(?i)^(licen[cs]e|copying|copyright|notice|patents)([.-].*)?$`)

// source matches the name of a program, such as license.go.
var source = regexp.MustCompile(`\.go$`)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: licences PACKAGE...")
		os.Exit(2)
	}
	if err := run(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

// module is a part of what `go list` says of a module.
type module struct {
	Path, Version, Dir string
	Main               bool
	Replace            *module
}

func run(out io.Writer, packages []string) error {
	modules, err := modulesOf(packages)
	if err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		m := modules[path]
		files, err := legalFiles(m.Dir)
		if err != nil {
			return err
		}
		if len(files) == 0 {
			return fmt.Errorf("%s %s has no licence in %s: find out under which terms it may be handed on", path, m.Version, m.Dir)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "==== %s %s: %s\n\n%s\n", path, m.Version, filepath.Base(file), bytes.TrimSpace(content))
		}
	}
	return nil
}

// modulesOf returns the modules whose packages are compiled into programs, on any of the platforms of a release, by their paths.
func modulesOf(packages []string) (map[string]module, error) {
	modules := map[string]module{}
	for _, system := range []string{"linux", "darwin", "windows"} {
		list := exec.Command("go", append([]string{"list", "-deps", "-json=Module"}, packages...)...)
		list.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		list.Stderr = os.Stderr
		text, err := list.Output()
		if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		for {
			var found struct{ Module *module }
			if err := decoder.Decode(&found); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			if m := found.Module; m != nil && !m.Main {
				if m.Replace != nil {
					m.Dir = m.Replace.Dir
				}
				modules[m.Path] = *m
			}
		}
	}
	return modules, nil
}

func legalFiles(directory string) ([]string, error) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries {
		if entry.Type().IsRegular() && legal.MatchString(entry.Name()) && !source.MatchString(entry.Name()) {
			files = append(files, filepath.Join(directory, entry.Name()))
		}
	}
	return files, nil
}
