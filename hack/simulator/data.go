package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// data is what a data file holds. An account without a password takes the one from the command line.
type data struct {
	Users   []delossim.User `json:"users"`
	Clients []string        `json:"clients"`
	// ClientNames are what the platform calls them, by their cuid.
	ClientNames map[string]string  `json:"clientNames"`
	Accounts    []delossim.Account `json:"accounts"`
	Tokens      []string           `json:"tokens"`
}

// examples are the platform's own, as a data file would have them.
func examples() data {
	config := delossim.Examples()
	return data{Users: config.Users, Clients: config.Clients, Accounts: config.Accounts}
}

// readData reads the file, or takes the examples if there is none, and makes sure that it can be worked with.
func readData(file, password string) (delossim.Config, error) {
	content := examples()
	if file != "" {
		content = data{}
		if err := readFile(file, &content); err != nil {
			return delossim.Config{}, fmt.Errorf("data file %s: %w", file, err)
		}
	}
	for i := range content.Accounts {
		account := &content.Accounts[i]
		if account.Password == "" {
			account.Password = password
		}
		if err := account.Validate(); err != nil {
			return delossim.Config{}, fmt.Errorf("%w (give a missing password by --password or %s)", err, passwordVariable)
		}
	}
	for _, user := range content.Users {
		if user.UUID == "" {
			return delossim.Config{}, fmt.Errorf("user %q has no uuid", user.Username)
		}
	}
	return delossim.Config{
		Users:       content.Users,
		Clients:     content.Clients,
		ClientNames: content.ClientNames,
		Accounts:    content.Accounts,
		Tokens:      content.Tokens,
	}, nil
}

func readFile(file string, into *data) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}
