// Kubelet is a kubelet's side of a device plugin. It starts the plugin, takes its registration, and prints as JSON what
// it offers, and what it gives or says to a container that asks for one, and to one that asks for two; `null` where the
// plugin ends without registering.
//
// Its arguments are the folder of the sockets and the plugin's program, whose log goes to standard error.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

type offer struct {
	Resource string              `json:"resource"`
	Devices  []string            `json:"devices"`
	Given    []map[string]string `json:"given"`
	Refused  []string            `json:"refused"`
}

type registry struct {
	api.UnimplementedRegistrationServer
	asked chan *api.RegisterRequest
}

func (r *registry) Register(_ context.Context, asked *api.RegisterRequest) (*api.Empty, error) {
	r.asked <- asked
	return &api.Empty{}, nil
}

func main() {
	found, err := run(os.Args[1], os.Args[2])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(folder, program string) (*offer, error) {
	listener, err := net.Listen("unix", filepath.Join(folder, "kubelet.sock"))
	if err != nil {
		return nil, err
	}
	server := grpc.NewServer()
	mine := &registry{asked: make(chan *api.RegisterRequest, 8)}
	api.RegisterRegistrationServer(server, mine)
	go server.Serve(listener)
	plugin := exec.Command(program)
	plugin.Stderr = os.Stderr
	if err := plugin.Start(); err != nil {
		return nil, err
	}
	defer plugin.Process.Kill()
	ended := make(chan error, 1)
	go func() { ended <- plugin.Wait() }()
	select {
	case asked := <-mine.asked:
		return heard(folder, asked)
	case <-ended:
		return nil, nil
	case <-time.After(20 * time.Second):
		return nil, errors.New("the plugin runs and does not register")
	}
}

func heard(folder string, asked *api.RegisterRequest) (*offer, error) {
	address := "unix://" + filepath.Join(folder, asked.Endpoint)
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	plugin := api.NewDevicePluginClient(connection)
	stream, err := plugin.ListAndWatch(ctx, &api.Empty{})
	if err != nil {
		return nil, err
	}
	offered, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	found := &offer{Resource: asked.ResourceName}
	for _, device := range offered.Devices {
		found.Devices = append(found.Devices, device.ID)
	}
	for count := 1; count <= min(2, len(found.Devices)); count++ {
		request := &api.ContainerAllocateRequest{DevicesIds: found.Devices[:count]}
		given, err := plugin.Allocate(ctx, &api.AllocateRequest{ContainerRequests: []*api.ContainerAllocateRequest{request}})
		if err != nil {
			found.Refused = append(found.Refused, status.Convert(err).Message())
			continue
		}
		found.Given = append(found.Given, given.ContainerResponses[0].Envs)
	}
	return found, nil
}
