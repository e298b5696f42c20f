package notify

import (
	"net"
	"strconv"
	"sync"
	"time"
)

// Service talks to the service manager that started this process, if one did and asked to be told (systemd's NOTIFY_SOCKET):
// that the service is ready, what it is doing, and that it is alive. Nobody listening is no failure.
type Service struct {
	socket   string
	watchdog time.Duration
	now      func() time.Time

	mu     sync.Mutex
	ready  bool
	told   time.Time
	status string
}

// NewService reads what the service manager put into the environment: NOTIFY_SOCKET, WATCHDOG_USEC.
func NewService(env func(string) string, now func() time.Time) *Service {
	s := &Service{socket: env("NOTIFY_SOCKET"), now: now}
	if microseconds, err := strconv.ParseInt(env("WATCHDOG_USEC"), 10, 64); err == nil && microseconds > 0 {
		s.watchdog = time.Duration(microseconds) * time.Microsecond
	}
	return s
}

// Alive says, the first time, that the service is ready; from then on that it is alive, three times as often as the service
// manager wants to hear it, and what it is doing.
func (s *Service) Alive(status string) {
	if s.socket == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	every := s.watchdog / 3
	if every <= 0 {
		every = time.Minute
	}
	now := s.now()
	if s.ready && status == s.status && now.Sub(s.told) < every {
		return
	}
	message := "WATCHDOG=1\nSTATUS=" + status
	if !s.ready {
		message = "READY=1\n" + message
	}
	if s.send(message) {
		s.ready, s.told, s.status = true, now, status
	}
}

// Stopping says that the service was told to end and is putting away what it has.
func (s *Service) Stopping() {
	if s.socket != "" {
		s.send("STOPPING=1")
	}
}

// send reports whether the message went out. A name that begins with @ is one of Linux's abstract sockets, as the address
// of package net has it, too.
func (s *Service) send(message string) bool {
	connection, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err != nil {
		return false
	}
	defer connection.Close() //nolint:errcheck // a datagram is gone by then
	_, err = connection.Write([]byte(message))
	return err == nil
}
