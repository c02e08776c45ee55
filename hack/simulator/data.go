package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// data is what a data file holds. An account without a password takes the one from the command line.
type data struct {
	Users    []delossim.User    `json:"users"`
	Clients  []string           `json:"clients"`
	Accounts []delossim.Account `json:"accounts"`
	Tokens   []string           `json:"tokens"`
}

// examples are the ids of docs/delos-api.md, and one account.
func examples() data {
	return data{
		Users: []delossim.User{
			{UUID: "user_abc123def", Username: "john.smith", Name: "John Smith"},
			{UUID: "158a190e-c4a9-4e6c-bf9b-4ef74ae345eb", Username: "maria.garcia", Name: "Maria Garcia"},
		},
		Clients:  []string{"cust_789xyz", "DoxdEEV-4IJq-zKeUYqrtqVDK"},
		Accounts: []delossim.Account{{Login: "operator@example.com"}},
	}
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
		Users:    content.Users,
		Clients:  content.Clients,
		Accounts: content.Accounts,
		Tokens:   content.Tokens,
	}, nil
}

func readFile(file string, into *data) error {
	opened, err := os.Open(file)
	if err != nil {
		return err
	}
	defer opened.Close()
	decoder := json.NewDecoder(opened)
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}
