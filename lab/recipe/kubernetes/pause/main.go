// pause holds a pod's namespaces: it waits, and buries the processes that their parents have left to it.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// version is this program's own: one program stands for the pause of every version of Kubernetes.
const version = "1.1-ha-lab"

func main() {
	// Before an upgrade kubeadm runs a Job whose only container is `pause -v`, and waits for its end.
	for _, word := range os.Args[1:] {
		if strings.EqualFold(word, "-v") {
			fmt.Println("pause", version)
			return
		}
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if pid <= 0 || err != nil {
				break
			}
		}
	}
}
