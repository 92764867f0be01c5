package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/k3s-io/kine/pkg/endpoint"
	kinetls "github.com/k3s-io/kine/pkg/tls"
	"github.com/sirupsen/logrus"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	etcderrors "go.etcd.io/etcd/server/v3/etcdserver/errors"

	"edge/lab/kubernetes/k3s/internal/join"
	"edge/lab/kubernetes/k3s/internal/paths"
	"edge/lab/kubernetes/k3s/internal/pki"
	"edge/lab/kubernetes/k3s/internal/token"
)

type etcdStart int

const (
	etcdGoesOn etcdStart = iota
	etcdFounds
	etcdJoins
)

const (
	etcdClientPort = "2379"
	etcdPeerPort   = "2380"
	etcdNameFile   = paths.Etcd + "/name"
	// There as soon as this server has been a member; the folder alone says only that it has tried.
	etcdLog = paths.Etcd + "/member/wal"
	// Left by a member that was removed from the cluster while it ran.
	tombstone = paths.Etcd + "/tombstone"
	// How long K3s waits for a datastore that does not answer before it ends and is started again.
	patience = 15 * time.Minute
	// K3s' own, five times as slow as etcd's: after the loss of a leader nobody answers for some seconds.
	heartbeat       = 500 * time.Millisecond
	electionTimeout = 5 * time.Second
)

var errBuried = errors.New("tombstone file has been detected but --server is empty: backup and delete ${datadir}/server/db")

var errDuplicate = errors.New("etcd cluster join failed: duplicate node name found, please use a unique name for this node")

// One server's member of the embedded etcd.
type etcdMember struct {
	name   string
	client *clientv3.Client
	server *embed.Etcd
}

func (s *Server) startEtcd(ctx context.Context, how etcdStart) error {
	s.usesEtcd.Store(true)
	var client *join.Client
	if how == etcdJoins {
		joined, err := s.joinServers(ctx)
		if err != nil {
			return err
		}
		client = joined
	}
	if err := s.makeShared(); err != nil {
		return err
	}
	if err := s.ensureCertificates(); err != nil {
		return err
	}
	// As K3s does, before there is a datastore: whoever looks for a server by its port finds this one.
	if err := s.startFront(); err != nil {
		return err
	}
	name := strings.TrimSpace(string(readFile(etcdNameFile)))
	if name == "" {
		name = s.node + "-" + token.Random()[:8]
	}
	peer := "https://" + net.JoinHostPort(s.address, etcdPeerPort)
	config := etcdConfig(name, s.address)
	config.InitialCluster = name + "=" + peer
	if how == etcdJoins {
		reply := join.EtcdReply{}
		logrus.Infof("Joining the etcd of %s as %s", s.config.Text("server", ""), name)
		request := join.EtcdRequest{Node: s.node, Name: name, PeerURL: peer}
		err := join.Until(ctx, func() error { return client.Ask(ctx, join.EtcdPath, request, &reply) }, func(err error) {
			logrus.Errorf("Failed to join the etcd cluster, will retry: %v", err)
		})
		if err != nil {
			return err
		}
		config.ClusterState = embed.ClusterStateFlagExisting
		config.InitialCluster = reply.InitialCluster
	}
	s.datastore = datastore{
		[]string{"https://" + net.JoinHostPort("127.0.0.1", etcdClientPort)},
		tlsPath("etcd/server-ca.crt"), tlsPath("etcd/client.crt"), tlsPath("etcd/client.key"),
	}
	if err := pki.Write(etcdNameFile, []byte(name+"\n")); err != nil {
		return err
	}
	started, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	opened, err := s.datastore.open()
	if err != nil {
		return err
	}
	s.etcd = &etcdMember{name, opened, started}
	go s.watchEtcd(ctx, started)
	logrus.Info("Waiting for the etcd server to become available")
	deadline, ask := time.After(patience), time.NewTicker(5*time.Second)
	defer ask.Stop()
	for ready := false; !ready; {
		select {
		case <-started.Server.ReadyNotify():
			ready = true
		case <-ctx.Done():
			return ctx.Err()
		case <-ask.C:
			logrus.Infof("Failed to test etcd connection: %v", etcderrors.ErrNoLeader)
		case <-deadline:
			return fmt.Errorf("failed to start etcd: no leader within %s", patience)
		}
	}
	if err := s.etcd.waitForVote(ctx); err != nil {
		return err
	}
	s.member.Store(true)
	if how == etcdFounds && exists(paths.SQLite) {
		return s.carryOver(ctx)
	}
	return nil
}

// A member that is removed marks its data and waits for somebody, or systemd, to start it again.
func (s *Server) watchEtcd(ctx context.Context, started *embed.Etcd) {
	select {
	case err := <-started.Err():
		s.failed <- fmt.Errorf("etcd exited: %w", err)
	case <-started.Server.StopNotify():
		if s.outlives.Err() != nil {
			return // This server stops it.
		}
		if err := bury(tombstone); err != nil {
			s.failed <- fmt.Errorf("failed to write tombstone file: %w", err)
			return
		}
		logrus.Info("this node has been removed from the cluster please restart k3s to rejoin the cluster")
	case <-ctx.Done():
	}
}

func bury(path string) error { return os.WriteFile(path, nil, 0o600) }

// What a removed member had is put aside where it may join again, and is not touched where nobody says through whom.
func unbury(folder, mark, server string) error {
	if !exists(mark) {
		return nil
	}
	if server == "" {
		return errBuried
	}
	logrus.Info("tombstone file has been detected, removing data dir to rejoin the cluster")
	return os.Rename(folder, fmt.Sprintf("%s-old-%d", folder, time.Now().Unix()))
}

func etcdConfig(name, address string) *embed.Config {
	at := func(host, port string) url.URL { return url.URL{Scheme: "https", Host: net.JoinHostPort(host, port)} }
	config := embed.NewConfig()
	config.Name = name
	config.Dir = paths.Etcd
	config.LogLevel = "error"
	config.TickMs = uint(heartbeat.Milliseconds())
	config.ElectionMs = uint(electionTimeout.Milliseconds())
	config.ListenPeerUrls = []url.URL{at(address, etcdPeerPort)}
	config.AdvertisePeerUrls = config.ListenPeerUrls
	config.AdvertiseClientUrls = []url.URL{at(address, etcdClientPort)}
	config.ListenClientUrls = []url.URL{at("127.0.0.1", etcdClientPort), at(address, etcdClientPort)}
	config.ClientTLSInfo = etcdTLS("etcd/server-client", "etcd/server-ca")
	config.PeerTLSInfo = etcdTLS("etcd/peer-server-client", "etcd/peer-ca")
	return config
}

func etcdTLS(certificate, ca string) transport.TLSInfo {
	return transport.TLSInfo{
		CertFile: tlsPath(certificate + ".crt"), KeyFile: tlsPath(certificate + ".key"),
		TrustedCAFile: tlsPath(ca + ".crt"), ClientCertAuth: true,
	}
}

// Gets from a server what all servers share, after both have been held to the token.
func (s *Server) joinServers(ctx context.Context) (*join.Client, error) {
	var client *join.Client
	server := s.config.Text("server", "")
	given := join.Bootstrap{}
	err := join.Until(ctx, func() error {
		dialled, err := join.Dial(ctx, server, join.ServerUser, s.shownToken)
		if err != nil {
			return err
		}
		client = dialled
		return client.Ask(ctx, join.BootstrapPath, struct{}{}, &given)
	}, func(err error) { logrus.Infof("Waiting for %s: %v", server, err) })
	if err != nil {
		return nil, fmt.Errorf("starting kubernetes: preparing server: failed to bootstrap cluster data: %w", err)
	}
	return client, s.adopt(given)
}

// Takes a further member in, first as a learner: the quorum stays what it is until the new one can vote.
func (m *etcdMember) add(ctx context.Context, request join.EtcdRequest) (join.EtcdReply, error) {
	reply := join.EtcdReply{}
	listed, err := m.client.MemberList(ctx)
	if err != nil {
		return reply, err
	}
	cluster := []string{}
	known := false
	for _, member := range listed.Members {
		own := len(member.PeerURLs) == 1 && member.PeerURLs[0] == request.PeerURL
		switch {
		case own && (member.Name == "" || member.Name == request.Name):
			// An attempt before this one did not get far.
			known = true
		case own || nodeOf(member.Name) == request.Node:
			return reply, errDuplicate
		case member.IsLearner:
			return reply, errors.New("another server is joining")
		default:
			cluster = append(cluster, member.Name+"="+member.PeerURLs[0])
		}
	}
	if !known {
		if _, err := m.client.MemberAddAsLearner(ctx, []string{request.PeerURL}); err != nil {
			return reply, err
		}
		logrus.Infof("%s joins the etcd as a learner", request.Name)
	}
	reply.InitialCluster = strings.Join(append(cluster, request.Name+"="+request.PeerURL), ",")
	return reply, nil
}

// A member's name is its node's with eight random digits.
func nodeOf(member string) string {
	if cut := strings.LastIndex(member, "-"); cut > 0 {
		return member[:cut]
	}
	return member
}

func (m *etcdMember) leads() bool { return m.server.Server.Leader() == m.server.Server.MemberID() }

// Makes learners that have caught up into members that vote.
func (m *etcdMember) promoteLearners(ctx context.Context) {
	for ctx.Err() == nil {
		time.Sleep(time.Second)
		if !m.leads() {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		if listed, err := m.client.MemberList(limited); err == nil {
			for _, member := range listed.Members {
				// Without a name it has never started.
				if member.IsLearner && member.Name != "" {
					if _, err := m.client.MemberPromote(limited, member.ID); err == nil {
						logrus.Infof("%s votes in the etcd", member.Name)
					}
				}
			}
		}
		cancel()
	}
}

func (m *etcdMember) waitForVote(ctx context.Context) error {
	for m.server.Server.IsLearner() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
	return nil
}

// Takes the member of a node out of the etcd; an absent one is fine.
func (m *etcdMember) remove(ctx context.Context, node string) error {
	listed, err := m.client.MemberList(ctx)
	if err != nil {
		return err
	}
	for _, member := range listed.Members {
		if nodeOf(member.Name) == node {
			logrus.Infof("%s leaves the etcd", member.Name)
			if _, err := m.client.MemberRemove(ctx, member.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// Carries the content of SQLite's file over into a new etcd, and puts the file aside.
func (s *Server) carryOver(ctx context.Context) error {
	logrus.Info("Migrating the content of SQLite into etcd")
	limited, cancel := context.WithCancel(ctx)
	defer cancel()
	started, err := endpoint.Listen(limited, kineConfig(sqliteEndpoint, kinetls.Config{}))
	if err != nil {
		return err
	}
	from, err := datastore{endpoints: started.Endpoints}.open()
	if err != nil {
		return err
	}
	defer from.Close()
	count := 0
	for _, prefix := range []string{"/registry/", bootstrapPrefix} {
		found, err := retry(ctx, func(ctx context.Context) (*clientv3.GetResponse, error) {
			return from.Get(ctx, prefix, clientv3.WithPrefix())
		})
		if err != nil {
			return err
		}
		for _, pair := range found.Kvs {
			if _, err := s.etcd.client.Put(ctx, string(pair.Key), string(pair.Value)); err != nil {
				return err
			}
			count++
		}
	}
	logrus.Infof("Migrated %d objects", count)
	return os.Rename(paths.SQLite, paths.SQLite+".migrated")
}
