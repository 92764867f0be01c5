package server

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/sirupsen/logrus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	corev1 "k8s.io/api/core/v1"
)

const (
	roleLabel = "node-role.kubernetes.io/"
	// With it, a Node goes only after its member of the etcd has gone.
	etcdFinalizer = "k3s.lab/etcd-member"
)

// Marks this server's own node as what it is; a kubelet may not do that itself.
func (s *Server) labelNode(ctx context.Context) {
	labels := map[string]string{roleLabel + "control-plane": "true"}
	if s.etcd != nil {
		labels[roleLabel+"etcd"] = "true"
	}
	for ctx.Err() == nil {
		node, err := s.client.CoreV1().Nodes().Get(ctx, s.node, metav1.GetOptions{})
		if err == nil && node.DeletionTimestamp == nil {
			metadata := map[string]any{"labels": labels}
			if s.etcd != nil && !slices.Contains(node.Finalizers, etcdFinalizer) {
				metadata["finalizers"] = append(node.Finalizers, etcdFinalizer)
			}
			if err := s.patchNode(ctx, s.node, metadata); err != nil {
				logrus.Warnf("Labels of %s: %v", s.node, err)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
}

// On the etcd's leader: when a Node is deleted, its member goes, and then the Node may.
func (s *Server) removeMembersOfDeletedNodes(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		if !s.etcd.leads() {
			continue
		}
		nodes, err := s.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			continue
		}
		for _, node := range nodes.Items {
			if node.DeletionTimestamp != nil && slices.Contains(node.Finalizers, etcdFinalizer) {
				if err := s.releaseNode(ctx, node); err != nil {
					logrus.Warnf("Node %s cannot leave yet: %v", node.Name, err)
				}
			}
		}
	}
}

func (s *Server) releaseNode(ctx context.Context, node corev1.Node) error {
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := s.etcd.remove(limited, node.Name); err != nil {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(node.Finalizers), func(name string) bool { return name == etcdFinalizer })
	// With its UID: a Node of this name that came since, of a server that has joined again, keeps its finalizer.
	return s.patchNode(limited, node.Name, map[string]any{"finalizers": left, "uid": node.UID})
}

func (s *Server) patchNode(ctx context.Context, node string, metadata map[string]any) error {
	patch, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return err
	}
	_, err = s.client.CoreV1().Nodes().Patch(ctx, node, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}
