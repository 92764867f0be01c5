package agent

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// A kubelet takes its labels to the Node that it makes. On a Node that exists K3s adds them and changes them at each
// start, and never removes one: it does not know which of the others were once its own.
func (a *Agent) labelNode(ctx context.Context, client kubernetes.Interface) {
	for ctx.Err() == nil {
		err := a.updateLabels(ctx, client)
		if err == nil {
			return
		}
		logrus.Infof("Waiting to set the labels of node %s: %v", a.name, err)
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
}

func (a *Agent) updateLabels(ctx context.Context, client kubernetes.Interface) error {
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	node, err := client.CoreV1().Nodes().Get(limited, a.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	missing := missingLabels(node.Labels, a.config.List("node-label"))
	if len(missing) == 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": missing}})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Nodes().Patch(limited, a.name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	return err
}

func missingLabels(there map[string]string, told []string) map[string]string {
	result := map[string]string{}
	for _, label := range told {
		name, value, _ := strings.Cut(label, "=")
		if current, ok := there[name]; !ok || current != value {
			result[name] = value
		}
	}
	return result
}
