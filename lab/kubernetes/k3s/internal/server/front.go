package server

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"edge/lab/kubernetes/k3s/internal/join"
)

const remoteHeaders = "X-Remote-"

// Port 6443: what nodes need before they can use Kubernetes, and all the rest for the API server behind it. Who shows a
// client certificate here is named to the API server in headers that only this front may send.
func (s *Server) startFront() error {
	if s.front.Load() != nil {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(tlsPath("serving-kube-apiserver.crt"), tlsPath("serving-kube-apiserver.key"))
	if err != nil {
		return err
	}
	proxy, err := s.newProxy()
	if err != nil {
		return err
	}
	clients := x509.NewCertPool()
	clients.AddCert(s.ca["client-ca"].Cert)
	shared := net.ListenConfig{Control: sharePort}
	listener, err := shared.Listen(context.Background(), "tcp", ":"+port)
	if err != nil {
		return err
	}
	front := &http.Server{
		Handler: s.routes(proxy),
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{pair}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: clients,
			MinVersion: tls.VersionTLS12,
		},
		ReadHeaderTimeout: 30 * time.Second,
		// Every port scan would be a line otherwise.
		ErrorLog: stdlog.New(io.Discard, "", 0),
	}
	s.front.Store(front)
	go func() { s.failed <- front.ServeTLS(frontListener{listener}, "", "") }()
	logrus.Infof("The front listens on port %s", port)
	return nil
}

func sharePort(_, _ string, socket syscall.RawConn) error {
	var failed error
	err := socket.Control(func(descriptor uintptr) {
		failed = unix.SetsockoptInt(int(descriptor), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	return errors.Join(err, failed)
}

// While the API server does not listen, what is meant for it arrives here; it must not find this front instead.
type frontListener struct{ net.Listener }

func (l frontListener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if local, ok := accepted.LocalAddr().(*net.TCPAddr); !ok || local.IP.String() != apiAddress {
			return accepted, nil
		}
		_ = accepted.Close()
	}
}

func (s *Server) routes(proxy http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case join.CAPath:
			_, _ = w.Write(s.ca["server-ca"].PEM)
		case join.PingPath:
			_, _ = io.WriteString(w, "pong")
		case join.NodePath:
			s.only(join.NodeUser, w, r, s.serveNode)
		case join.BootstrapPath:
			s.only(join.ServerUser, w, r, s.serveBootstrap)
		case join.EtcdPath:
			s.only(join.ServerUser, w, r, s.serveEtcd)
		default:
			proxy.ServeHTTP(w, r)
		}
	})
}

// Lets in who shows the token of that user; the servers' token is good for everything.
func (s *Server) only(user string, w http.ResponseWriter, r *http.Request, handle http.HandlerFunc) {
	name, secret, _ := r.BasicAuth()
	same := func(wanted string) bool { return subtle.ConstantTimeCompare([]byte(secret), []byte(wanted)) == 1 }
	if same(s.token) || user == join.NodeUser && name == join.NodeUser && same(s.agentToken) {
		handle(w, r)
		return
	}
	logrus.Warnf("%s: wrong token for %s", r.RemoteAddr, r.URL.Path)
	http.Error(w, "Unauthorized", http.StatusUnauthorized)
}

func (s *Server) newProxy() (http.Handler, error) {
	pool := x509.NewCertPool()
	pool.AddCert(s.ca["server-ca"].Cert)
	pair, err := tls.LoadX509KeyPair(tlsPath("client-auth-proxy.crt"), tlsPath("client-auth-proxy.key"))
	if err != nil {
		return nil, err
	}
	target, err := url.Parse(localAPI)
	if err != nil {
		return nil, err
	}
	through := func(certificates ...tls.Certificate) http.Handler {
		return &httputil.ReverseProxy{
			Rewrite:       func(r *httputil.ProxyRequest) { rewrite(r, target) },
			FlushInterval: -1,
			// HTTP/1.1, which alone can be upgraded: one connection for each watch, and only on the loopback.
			Transport: &http.Transport{
				TLSClientConfig:     &tls.Config{RootCAs: pool, Certificates: certificates, NextProtos: []string{"http/1.1"}},
				MaxIdleConnsPerHost: 100,
				IdleConnTimeout:     90 * time.Second,
			},
			ErrorLog: stdlog.New(io.Discard, "", 0),
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
				http.Error(w, "the API server does not answer: "+err.Error(), http.StatusServiceUnavailable)
			},
		}
	}
	named, bare := through(pair), through()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.VerifiedChains) > 0 {
			named.ServeHTTP(w, r)
		} else {
			bare.ServeHTTP(w, r)
		}
	}), nil
}

func rewrite(r *httputil.ProxyRequest, target *url.URL) {
	r.SetURL(target)
	r.SetXForwarded()
	r.Out.Host = r.In.Host
	for header := range r.Out.Header {
		if strings.HasPrefix(http.CanonicalHeaderKey(header), remoteHeaders) {
			r.Out.Header.Del(header)
		}
	}
	if chains := r.In.TLS.VerifiedChains; len(chains) > 0 {
		subject := chains[0][0].Subject
		r.Out.Header.Set(remoteHeaders+"User", subject.CommonName)
		for _, group := range subject.Organization {
			r.Out.Header.Add(remoteHeaders+"Group", group)
		}
	}
}

func readFile(path string) []byte {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return content
}
