package sandbox

import (
	"encoding/json"
	"fmt"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// Existing is a platform with relations that no ClientBinding declares yet: five for each two users.
func Existing(relations int) delossim.Config {
	config := delossim.Config{ClientNames: map[string]string{}}
	users := relations * 2 / 5
	for i := range users {
		user := delossim.User{UUID: fmt.Sprintf("user_%d", i), Username: fmt.Sprintf("user.%d", i), Relations: map[string]bool{}}
		for j := range 2 + i%2 {
			user.Relations[fmt.Sprintf("cust_%d", (i+j*3)%(users/2))] = j == 0 && i < users/2
		}
		config.Users = append(config.Users, user)
	}
	for i := range users / 2 {
		config.ClientNames[fmt.Sprintf("cust_%d", i)] = fmt.Sprintf("Client %d Ltd", i)
	}
	return config
}

// PlantDifferences makes a platform of Existing differ in three ways, and returns what a report has to find.
func PlantDifferences(platform *delossim.Server) (findings []string) {
	platform.AddUser(delossim.User{UUID: "user_new", Relations: map[string]bool{"cust_1": true}})
	platform.SetRelation("user_3", "cust_3", false)
	platform.RemoveRelation("user_2", "cust_2")
	return []string{"Undeclared: user_new at cust_1", "OtherKind: user_3 at cust_3", "Missing: user_2 at cust_2"}
}

// Findings reads a report in JSON: how many relations it has, and those that are not as declared, in its order.
func Findings(report string) (relations int, findings []string, err error) {
	var made struct {
		Entries []struct{ Client, User, Verdict string }
	}
	err = json.Unmarshal([]byte(report), &made)
	for _, one := range made.Entries {
		if one.Verdict != "AsDeclared" {
			findings = append(findings, one.Verdict+": "+one.User+" at "+one.Client)
		}
	}
	return len(made.Entries), findings, err
}
