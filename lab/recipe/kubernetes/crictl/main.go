// crictl, the part of it that kubeadm and an operator call: the lab's own, since no Debian package has it. Commands, flags, tables and
// JSON are those of the real one. Built inside the source tree of Kubernetes, whose CRI client it uses.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/ioutil"
	"net"
	"os"
	"strings"
	"time"

	flag "github.com/spf13/pflag"
	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"sigs.k8s.io/yaml"
)

const version = "v1.20.0"

// What crictl tries without a configuration, in its order.
var endpoints = []string{"unix:///var/run/dockershim.sock", "unix:///run/containerd/containerd.sock", "unix:///run/crio/crio.sock"}

type client struct {
	runtime cri.RuntimeServiceClient
	images  cri.ImageServiceClient
	timeout time.Duration
}

type settings struct {
	RuntimeEndpoint string `json:"runtime-endpoint"`
	ImageEndpoint   string `json:"image-endpoint"`
	Timeout         int    `json:"timeout"`
	Debug           bool   `json:"debug"`
}

type exitCode int

func (code exitCode) Error() string { return fmt.Sprintf("exit status %d", int(code)) }

var commands = map[string]func(*client, []string) error{
	"version": showVersion, "info": info, "pods": pods, "ps": containers, "images": images, "image": images, "img": images,
	"inspect": inspect, "inspecti": inspectImage, "inspectp": inspectPod, "pull": pull, "rmi": removeImage,
	"stop": stop, "rm": remove, "stopp": stopPod, "rmp": removePod, "logs": logs, "exec": execute,
}

func main() {
	err := run(os.Args[1:])
	var code exitCode
	if errors.As(err, &code) {
		os.Exit(int(code))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "FATA[0000] %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("crictl", flag.ContinueOnError)
	flags.SetInterspersed(false)
	file := flags.StringP("config", "c", "/etc/crictl.yaml", "")
	runtime := flags.StringP("runtime-endpoint", "r", os.Getenv("CONTAINER_RUNTIME_ENDPOINT"), "")
	image := flags.StringP("image-endpoint", "i", os.Getenv("IMAGE_SERVICE_ENDPOINT"), "")
	timeout := flags.DurationP("timeout", "t", 0, "")
	flags.BoolP("debug", "D", false, "")
	about := flags.BoolP("version", "v", false, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *about {
		fmt.Println("crictl version", version)
		return nil
	}
	if flags.NArg() == 0 {
		return fmt.Errorf("no command")
	}
	command, known := commands[flags.Arg(0)]
	if !known {
		return fmt.Errorf("no such command in the lab's crictl: %s", flags.Arg(0))
	}
	kept, err := configuration(*file)
	if err != nil {
		return err
	}
	found, err := connect(first(*runtime, kept.RuntimeEndpoint), first(*image, kept.ImageEndpoint))
	if err != nil {
		return err
	}
	// Ours is longer than the real one's two seconds: two cores carry the whole cluster.
	found.timeout = 30 * time.Second
	if kept.Timeout > 0 {
		found.timeout = time.Duration(kept.Timeout) * time.Second
	}
	if *timeout > 0 {
		found.timeout = *timeout
	}
	return command(found, flags.Args()[1:])
}

func configuration(path string) (settings, error) {
	var kept settings
	text, err := ioutil.ReadFile(path)
	if os.IsNotExist(err) {
		return kept, nil
	}
	if err == nil {
		err = yaml.Unmarshal(text, &kept)
	}
	return kept, err
}

func first(words ...string) string {
	for _, word := range words {
		if word != "" {
			return word
		}
	}
	return ""
}

func connect(runtime, image string) (*client, error) {
	choice := endpoints
	if runtime != "" {
		choice = []string{runtime}
	}
	var err error
	for _, endpoint := range choice {
		var service, store *grpc.ClientConn
		if service, err = dial(endpoint); err != nil {
			continue
		}
		store = service
		if image != "" && image != endpoint {
			if store, err = dial(image); err != nil {
				return nil, err
			}
		}
		return &client{runtime: cri.NewRuntimeServiceClient(service), images: cri.NewImageServiceClient(store)}, nil
	}
	return nil, err
}

func dial(endpoint string) (*grpc.ClientConn, error) {
	path := strings.TrimPrefix(endpoint, "unix://")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	connection, err := grpc.DialContext(ctx, path, grpc.WithInsecure(), grpc.WithBlock(), grpc.FailOnNonTempDialError(true),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)),
		grpc.WithContextDialer(func(ctx context.Context, path string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}))
	if err != nil {
		return nil, fmt.Errorf("failed to connect: %s: %v", endpoint, err)
	}
	return connection, nil
}

func (c *client) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), c.timeout)
}

// parse returns the words of a command that are no flags; define adds the flags.
func parse(name string, args []string, define func(*flag.FlagSet)) ([]string, error) {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetInterspersed(false)
	define(flags)
	err := flags.Parse(args)
	return flags.Args(), err
}
