package sandbox

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// Simulator is a simulated Delos platform that serves HTTP.
type Simulator struct {
	*delossim.Server
	// URL is the address of the API.
	URL string
	// AdminURL is the address of the administrative API; see [delossim.Server.Admin].
	AdminURL string

	connections atomic.Int64
	servers     []*http.Server
}

// Connections is the number of connections that were opened to the API.
func (s *Simulator) Connections() int64 { return s.connections.Load() }

// headerTimeout is the time that a caller has to send a request's headers.
const headerTimeout = 10 * time.Second

// StartSimulator serves a platform, with each of its two APIs on a separate port.
func (s *Sandbox) StartSimulator(ctx context.Context, config delossim.Config) (*Simulator, error) {
	platform := delossim.New(config)
	simulator := &Simulator{Server: platform}
	s.onClose(simulator.Stop)
	var err error
	if simulator.URL, err = simulator.serve(ctx, platform, func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			simulator.connections.Add(1)
		}
	}); err != nil {
		return nil, err
	}
	simulator.AdminURL, err = simulator.serve(ctx, platform.Admin(), nil)
	return simulator, err
}

func (s *Simulator) serve(ctx context.Context, handler http.Handler, connected func(net.Conn, http.ConnState)) (string, error) {
	listener, err := listen(ctx)
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout, ConnState: connected}
	s.servers = append(s.servers, server)
	go func() { _ = server.Serve(listener) }() // ends when the server is closed, and only then
	return "http://" + listener.Addr().String(), nil
}

// Stop ends the platform, and interrupts its calls.
func (s *Simulator) Stop() error {
	s.Close()
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	return errors.Join(errs...)
}
