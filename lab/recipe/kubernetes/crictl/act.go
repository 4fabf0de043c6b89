package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
	"time"

	flag "github.com/spf13/pflag"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func showVersion(c *client, _ []string) error {
	ctx, cancel := c.context()
	defer cancel()
	said, err := c.runtime.Version(ctx, &cri.VersionRequest{Version: "v1"})
	if err != nil {
		return fmt.Errorf("getting the runtime version: %v", err)
	}
	fmt.Printf("Version:  %s\nRuntimeName:  %s\nRuntimeVersion:  %s\nRuntimeApiVersion:  %s\n",
		said.Version, said.RuntimeName, said.RuntimeVersion, said.RuntimeApiVersion)
	return nil
}

func info(c *client, args []string) error {
	output, pattern := "json", ""
	_, err := parse("info", args, func(flags *flag.FlagSet) {
		flags.StringVarP(&output, "output", "o", "json", "")
		flags.StringVar(&pattern, "template", "", "")
		flags.BoolP("quiet", "q", false, "")
	})
	if err != nil {
		return err
	}
	ctx, cancel := c.context()
	defer cancel()
	said, err := c.runtime.Status(ctx, &cri.StatusRequest{Verbose: true})
	if err != nil {
		return fmt.Errorf("getting status of runtime: %v", err)
	}
	if output != "go-template" {
		return detail(said.Status, said.Info, output)
	}
	whole := map[string]interface{}{}
	for name, value := range said.Info {
		var decoded interface{}
		if json.Unmarshal([]byte(value), &decoded) == nil {
			whole[name] = decoded
		}
	}
	wanted, err := template.New("").Parse(pattern)
	if err == nil {
		err = wanted.Execute(os.Stdout, whole)
	}
	fmt.Println()
	return err
}

// each calls act with every ID that a command is given; flags that change nothing here are accepted. define adds the command's own.
func each(name string, args []string, act func(string) error, define ...func(*flag.FlagSet)) error {
	words, err := parse(name, args, func(flags *flag.FlagSet) {
		flags.BoolP("force", "f", false, "")
		flags.BoolP("quiet", "q", false, "")
		flags.StringP("output", "o", "", "")
		for _, more := range define {
			more(flags)
		}
	})
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return fmt.Errorf("ID cannot be empty")
	}
	for _, id := range words {
		if err := act(id); err != nil {
			return err
		}
	}
	return nil
}

func inspect(c *client, args []string) error {
	return each("inspect", args, func(id string) error {
		ctx, cancel := c.context()
		defer cancel()
		said, err := c.runtime.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: id, Verbose: true})
		if err != nil {
			return fmt.Errorf("getting the status of the container %q: %v", id, err)
		}
		return detail(said.Status, said.Info, "json")
	})
}

func inspectPod(c *client, args []string) error {
	return each("inspectp", args, func(id string) error {
		ctx, cancel := c.context()
		defer cancel()
		said, err := c.runtime.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: id, Verbose: true})
		if err != nil {
			return fmt.Errorf("getting the pod sandbox status for %q: %v", id, err)
		}
		return detail(said.Status, said.Info, "json")
	})
}

func inspectImage(c *client, args []string) error {
	return each("inspecti", args, func(name string) error {
		ctx, cancel := c.context()
		defer cancel()
		said, err := c.images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}, Verbose: true})
		if err == nil && said.Image == nil {
			err = fmt.Errorf("no such image %q present", name)
		}
		if err != nil {
			return err
		}
		return detail(said.Image, said.Info, "json")
	})
}

func pull(c *client, args []string) error {
	return each("pull", args, func(name string) error {
		ctx, cancel := c.context()
		defer cancel()
		said, err := c.images.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: name}})
		if err != nil {
			return fmt.Errorf("pulling image: %v", err)
		}
		fmt.Println("Image is up to date for", said.ImageRef)
		return nil
	})
}

func removeImage(c *client, args []string) error {
	return each("rmi", args, func(name string) error {
		ctx, cancel := c.context()
		defer cancel()
		_, err := c.images.RemoveImage(ctx, &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: name}})
		return err
	})
}

// stop asks for the end of containers. The runtime kills one that has not ended --timeout seconds after that; without, at once. The
// call takes as long: its own time comes on top.
func stop(c *client, args []string) error {
	var grace int64
	return each("stop", args, func(id string) error {
		ctx, cancel := context.WithTimeout(context.Background(), c.timeout+time.Duration(grace)*time.Second)
		defer cancel()
		_, err := c.runtime.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: id, Timeout: grace})
		return report(id, err)
	}, func(flags *flag.FlagSet) { flags.Int64VarP(&grace, "timeout", "t", 0, "") })
}

func remove(c *client, args []string) error {
	return each("rm", args, func(id string) error {
		ctx, cancel := c.context()
		defer cancel()
		_, err := c.runtime.RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: id})
		return report(id, err)
	})
}

// stopPod kills the containers of pods at once: neither CRI nor the real stopp has a grace period for them.
func stopPod(c *client, args []string) error {
	return each("stopp", args, func(id string) error {
		ctx, cancel := c.context()
		defer cancel()
		_, err := c.runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: id})
		if err == nil {
			fmt.Println("Stopped sandbox", id)
		}
		return err
	})
}

func removePod(c *client, args []string) error {
	return each("rmp", args, func(id string) error {
		ctx, cancel := c.context()
		defer cancel()
		_, err := c.runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: id})
		if err == nil {
			_, err = c.runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: id})
		}
		if err == nil {
			fmt.Println("Removed sandbox", id)
		}
		return err
	})
}

func report(id string, err error) error {
	if err == nil {
		fmt.Println(id)
	}
	return err
}

func execute(c *client, args []string) error {
	words, err := parse("exec", args, func(flags *flag.FlagSet) {
		flags.BoolP("sync", "s", false, "")
		flags.BoolP("interactive", "i", false, "")
		flags.BoolP("tty", "t", false, "")
		flags.Int64("timeout", 0, "")
	})
	if err != nil {
		return err
	}
	if len(words) < 2 {
		return fmt.Errorf("exec takes a container and a command")
	}
	ctx, cancel := c.context()
	defer cancel()
	said, err := c.runtime.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: words[0], Cmd: words[1:]})
	if err != nil {
		return fmt.Errorf("execing command in container synchronously: %v", err)
	}
	os.Stdout.Write(said.Stdout)
	os.Stderr.Write(said.Stderr)
	if said.ExitCode != 0 {
		return exitCode(said.ExitCode)
	}
	return nil
}

// logs prints the lines of a container's log, each to where it was said: "TIME stdout|stderr F|P TEXT" in the file.
func logs(c *client, args []string) error {
	tail := 0
	words, err := parse("logs", args, func(flags *flag.FlagSet) { flags.IntVar(&tail, "tail", -1, "") })
	if err != nil {
		return err
	}
	if len(words) != 1 {
		return fmt.Errorf("logs takes one container")
	}
	ctx, cancel := c.context()
	defer cancel()
	said, err := c.runtime.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: words[0]})
	if err != nil {
		return err
	}
	file, err := os.Open(said.Status.LogPath)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := []string{}
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	if tail >= 0 && tail < len(lines) {
		lines = lines[len(lines)-tail:]
	}
	for _, line := range lines {
		fields := strings.SplitN(line, " ", 4)
		if len(fields) < 4 {
			continue
		}
		target := map[bool]*os.File{true: os.Stderr, false: os.Stdout}[fields[1] == "stderr"]
		fmt.Fprint(target, fields[3]+map[bool]string{true: "\n", false: ""}[fields[2] == "F"])
	}
	return scanner.Err()
}
