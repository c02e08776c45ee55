package delossim

// Examples are the ids of docs/delos-api.md, and one account, which has no password yet.
func Examples() Config {
	return Config{
		Users: []User{
			{UUID: "user_abc123def", Username: "john.smith", Name: "John Smith"},
			{UUID: "158a190e-c4a9-4e6c-bf9b-4ef74ae345eb", Username: "maria.garcia", Name: "Maria Garcia"},
		},
		Clients:  []string{"cust_789xyz", "DoxdEEV-4IJq-zKeUYqrtqVDK"},
		Accounts: []Account{{Login: "operator@example.com"}},
	}
}
