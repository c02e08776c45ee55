package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// health is what Argo CD shows of one object.
type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func (h health) String() string { return h.Status + ": " + h.Message }

// health asks Argo CD's API about an object of the team, as its user interface does.
func (s *stage) health(ctx context.Context, kind, name string) (found health, err error) {
	url := "http://" + s.argo.server + "/api/v1/applications/" + team + "/resource-tree"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return health{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return health{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return health{}, errors.Join(fmt.Errorf("%s: %s: %s", url, response.Status, text), err)
	}
	var tree struct {
		Nodes []struct {
			Kind   string `json:"kind"`
			Name   string `json:"name"`
			Health health `json:"health"`
		} `json:"nodes"`
	}
	if err := json.Unmarshal(text, &tree); err != nil {
		return health{}, err
	}
	for _, node := range tree.Nodes {
		if node.Kind == kind && node.Name == name {
			return node.Health, nil
		}
	}
	return health{}, nil
}

// shows waits until Argo CD shows a health of an object of the team with all the words.
func (s *stage) shows(ctx context.Context, kind, name, status string, words ...string) error {
	return s.within(ctx, limit, func(ctx context.Context) (string, error) {
		found, err := s.health(ctx, kind, name)
		if err != nil {
			return "", err
		}
		if found.Status != status {
			return fmt.Sprintf("%s %s is not %s but %s", kind, name, status, found), nil
		}
		for _, word := range words {
			if !strings.Contains(found.Message, word) {
				return fmt.Sprintf("no %q in %q", word, found.Message), nil
			}
		}
		return "", nil
	})
}
