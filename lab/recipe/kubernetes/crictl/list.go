package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/golang/protobuf/jsonpb"
	"github.com/golang/protobuf/proto"
	flag "github.com/spf13/pflag"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"sigs.k8s.io/yaml"
)

// wanted is what every list can be asked for.
type wanted struct {
	all, quiet, latest, whole   bool
	name, namespace, state, pod string
	id, image, output           string
	labels                      map[string]string
	last                        int
}

func (w *wanted) define(flags *flag.FlagSet) {
	flags.BoolVarP(&w.all, "all", "a", false, "")
	flags.BoolVarP(&w.quiet, "quiet", "q", false, "")
	flags.BoolVarP(&w.latest, "latest", "l", false, "")
	flags.BoolVar(&w.whole, "no-trunc", false, "")
	flags.BoolP("verbose", "v", false, "")
	flags.StringVar(&w.name, "name", "", "")
	flags.StringVar(&w.namespace, "namespace", "", "")
	flags.StringVarP(&w.state, "state", "s", "", "")
	flags.StringVarP(&w.pod, "pod", "p", "", "")
	flags.StringVar(&w.id, "id", "", "")
	flags.StringVar(&w.image, "image", "", "")
	flags.StringVarP(&w.output, "output", "o", "", "")
	flags.StringToStringVar(&w.labels, "label", nil, "")
	flags.IntVarP(&w.last, "last", "n", 0, "")
}

func (w *wanted) limit(found int) int {
	if w.latest {
		w.last = 1
	}
	if w.last > 0 && w.last < found {
		return w.last
	}
	return found
}

func matches(pattern, text string) bool {
	found, err := regexp.MatchString(pattern, text)
	return err == nil && found
}

func (w *wanted) short(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	if len(id) > 13 && !w.whole {
		return id[:13]
	}
	return id
}

func pods(c *client, args []string) error {
	var w wanted
	if _, err := parse("pods", args, w.define); err != nil {
		return err
	}
	filter := &cri.PodSandboxFilter{Id: w.id, LabelSelector: w.labels}
	switch strings.ToLower(w.state) {
	case "":
	case "ready":
		filter.State = &cri.PodSandboxStateValue{State: cri.PodSandboxState_SANDBOX_READY}
	case "notready":
		filter.State = &cri.PodSandboxStateValue{State: cri.PodSandboxState_SANDBOX_NOTREADY}
	default:
		return fmt.Errorf("--state should be ready or notready")
	}
	ctx, cancel := c.context()
	defer cancel()
	said, err := c.runtime.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{Filter: filter})
	if err != nil {
		return fmt.Errorf("listing pod sandboxes: %v", err)
	}
	items := []*cri.PodSandbox{}
	for _, item := range said.Items {
		if matches(w.name, item.Metadata.Name) && matches(w.namespace, item.Metadata.Namespace) {
			items = append(items, item)
		}
	}
	sort.Slice(items, func(a, b int) bool { return items[a].CreatedAt > items[b].CreatedAt })
	said.Items = items[:w.limit(len(items))]
	rows := [][]string{{"POD ID", "CREATED", "STATE", "NAME", "NAMESPACE", "ATTEMPT", "RUNTIME"}}
	ids := []string{}
	for _, item := range said.Items {
		ids = append(ids, item.Id)
		state := map[bool]string{true: "Ready", false: "NotReady"}[item.State == cri.PodSandboxState_SANDBOX_READY]
		rows = append(rows, []string{w.short(item.Id), ago(item.CreatedAt), state, item.Metadata.Name, item.Metadata.Namespace,
			fmt.Sprint(item.Metadata.Attempt), first(item.RuntimeHandler, "(default)")})
	}
	return w.show(said, ids, rows)
}

func containers(c *client, args []string) error {
	var w wanted
	if _, err := parse("ps", args, w.define); err != nil {
		return err
	}
	filter := &cri.ContainerFilter{Id: w.id, PodSandboxId: w.pod, LabelSelector: w.labels}
	if w.state != "" {
		number, known := cri.ContainerState_value["CONTAINER_"+strings.ToUpper(w.state)]
		if !known {
			return fmt.Errorf("--state should be one of created, running, exited or unknown")
		}
		filter.State = &cri.ContainerStateValue{State: cri.ContainerState(number)}
	} else if !w.all && !w.latest && w.last == 0 {
		filter.State = &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_RUNNING}
	}
	ctx, cancel := c.context()
	defer cancel()
	said, err := c.runtime.ListContainers(ctx, &cri.ListContainersRequest{Filter: filter})
	if err != nil {
		return fmt.Errorf("listing containers: %v", err)
	}
	items := []*cri.Container{}
	for _, item := range said.Containers {
		if matches(w.name, item.Metadata.Name) && (w.image == "" || strings.Contains(item.ImageRef+" "+item.Image.Image, w.image)) {
			items = append(items, item)
		}
	}
	sort.Slice(items, func(a, b int) bool { return items[a].CreatedAt > items[b].CreatedAt })
	said.Containers = items[:w.limit(len(items))]
	rows := [][]string{{"CONTAINER", "IMAGE", "CREATED", "STATE", "NAME", "ATTEMPT", "POD ID"}}
	ids := []string{}
	for _, item := range said.Containers {
		ids = append(ids, item.Id)
		state := strings.Title(strings.ToLower(strings.TrimPrefix(item.State.String(), "CONTAINER_")))
		rows = append(rows, []string{w.short(item.Id), w.short(item.Image.Image), ago(item.CreatedAt), state, item.Metadata.Name,
			fmt.Sprint(item.Metadata.Attempt), w.short(item.PodSandboxId)})
	}
	return w.show(said, ids, rows)
}

func images(c *client, args []string) error {
	var w wanted
	words, err := parse("images", args, w.define)
	if err != nil {
		return err
	}
	filter := &cri.ImageFilter{}
	if len(words) > 0 {
		filter.Image = &cri.ImageSpec{Image: words[0]}
	}
	ctx, cancel := c.context()
	defer cancel()
	said, err := c.images.ListImages(ctx, &cri.ListImagesRequest{Filter: filter})
	if err != nil {
		return fmt.Errorf("listing images: %v", err)
	}
	sort.Slice(said.Images, func(a, b int) bool {
		return strings.Join(said.Images[a].RepoTags, " ") < strings.Join(said.Images[b].RepoTags, " ")
	})
	rows, ids := [][]string{{"IMAGE", "TAG", "IMAGE ID", "SIZE"}}, []string{}
	for _, item := range said.Images {
		ids = append(ids, item.Id)
		for _, tag := range item.RepoTags {
			cut := strings.LastIndex(tag, ":")
			rows = append(rows, []string{tag[:cut], tag[cut+1:], w.short(item.Id), fmt.Sprintf("%.3gMB", float64(item.Size_)/1e6)})
		}
	}
	return w.show(said, ids, rows)
}

func (w *wanted) show(said proto.Message, ids []string, rows [][]string) error {
	if w.quiet {
		for _, id := range ids {
			fmt.Println(id)
		}
		return nil
	}
	if w.output == "json" || w.output == "yaml" {
		text, err := asJSON(said)
		if err != nil {
			return err
		}
		return printText(text, w.output)
	}
	if w.output != "" && w.output != "table" {
		return fmt.Errorf("unsupported output format %q", w.output)
	}
	table := tabwriter.NewWriter(os.Stdout, 20, 1, 3, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	return table.Flush()
}

func asJSON(said proto.Message) (string, error) {
	return (&jsonpb.Marshaler{EmitDefaults: true, Indent: "  "}).MarshalToString(said)
}

func printText(text, output string) error {
	if output == "yaml" {
		converted, err := yaml.JSONToYAML([]byte(text))
		fmt.Print(string(converted))
		return err
	}
	fmt.Println(text)
	return nil
}

// dated returns the JSON of a status with its moments as crictl writes them there, RFC 3339; in lists they stay nanoseconds.
func dated(text string) (string, error) {
	whole := map[string]interface{}{}
	if err := json.Unmarshal([]byte(text), &whole); err != nil {
		return "", err
	}
	for _, name := range []string{"createdAt", "startedAt", "finishedAt"} {
		if written, there := whole[name].(string); there {
			nanoseconds, err := strconv.ParseInt(written, 10, 64)
			if err != nil {
				return "", err
			}
			moment := time.Time{} // what has not been yet
			if nanoseconds != 0 {
				moment = time.Unix(0, nanoseconds)
			}
			whole[name] = moment.Format(time.RFC3339Nano)
		}
	}
	printed, err := json.Marshal(whole)
	return string(printed), err
}

// detail prints what a runtime says of one thing: {"status": ..., its verbose information, decoded where it is JSON}.
func detail(said proto.Message, more map[string]string, output string) error {
	text, err := asJSON(said)
	if err == nil {
		text, err = dated(text)
	}
	if err != nil {
		return err
	}
	whole := map[string]interface{}{"status": json.RawMessage(text)}
	for name, value := range more {
		if json.Valid([]byte(value)) {
			whole[name] = json.RawMessage(value)
		} else {
			whole[name] = value
		}
	}
	printed, err := json.MarshalIndent(whole, "", "  ")
	if err != nil {
		return err
	}
	return printText(string(printed), output)
}

func ago(created int64) string {
	passed := time.Since(time.Unix(0, created))
	for _, unit := range []struct {
		name   string
		length time.Duration
	}{{"days", 24 * time.Hour}, {"hours", time.Hour}, {"minutes", time.Minute}} {
		if passed >= 2*unit.length {
			return fmt.Sprintf("%d %s ago", passed/unit.length, unit.name)
		}
	}
	return fmt.Sprintf("%d seconds ago", passed/time.Second)
}
