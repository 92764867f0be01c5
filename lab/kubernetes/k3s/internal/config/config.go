// Package config reads what a node is told: config.yaml, then config.yaml.d in the order of the names, then the command
// line; the last one wins. As in K3s, a key of a file that is not known is a warning and has no effect, and an unknown
// flag of the command line is an error.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"
	"gopkg.in/yaml.v3"
)

// Config holds the settings of one node.
type Config struct {
	role   role
	values map[string][]string
}

// RoleOf says which settings `k3s server` and `k3s agent` take.
func RoleOf(command string) role {
	if command == "server" {
		return Server
	}
	return Agent
}

// Load reads the file, the folder beside it and the command line of `k3s server` or `k3s agent`.
func Load(role role, file, folder string, arguments []string) (*Config, error) {
	config := &Config{role, map[string][]string{}}
	files, err := filepath.Glob(filepath.Join(folder, "*.y*ml"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	for _, path := range append([]string{file}, files...) {
		if err := config.readFile(path); err != nil {
			return nil, err
		}
	}
	return config, config.readArguments(arguments)
}

func (c *Config) readFile(path string) error {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	settings := map[string]yaml.Node{}
	if err := yaml.Unmarshal(content, &settings); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		node := settings[key]
		name, adds := strings.CutSuffix(key, "+")
		if flags[name].roles&c.role == 0 {
			logrus.Warnf("Unknown flag --%s found in %s, skipping", name, filepath.Base(path))
			continue
		}
		place := fmt.Sprintf("%s:%d", path, node.Line)
		values, err := valuesOf(node)
		if err != nil {
			return fmt.Errorf("%s: %q %w", place, key, err)
		}
		if err := c.set(place, name, values, adds); err != nil {
			return err
		}
	}
	return nil
}

// The text of each scalar as it is written: YAML would read the mode 0600 as the number 384.
func valuesOf(node yaml.Node) ([]string, error) {
	switch {
	case node.Kind == yaml.ScalarNode && node.Tag != "!!null":
		return []string{node.Value}, nil
	case node.Kind == yaml.SequenceNode:
		values := []string{}
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode {
				return nil, errors.New("has an item that is neither text nor a number")
			}
			values = append(values, item.Value)
		}
		return values, nil
	}
	return nil, errors.New("is neither a value nor a list of values")
}

func (c *Config) readArguments(arguments []string) error {
	given := map[string][]string{}
	for len(arguments) > 0 {
		argument := arguments[0]
		arguments = arguments[1:]
		name, isFlag := strings.CutPrefix(argument, "--")
		if !isFlag {
			return fmt.Errorf("command line: unexpected argument %q", argument)
		}
		name, value, hasValue := strings.Cut(name, "=")
		if !hasValue {
			switch known, ok := flags[name]; {
			case !ok || known.kind == yesNo:
				value = "true"
			case len(arguments) == 0:
				return fmt.Errorf("command line: --%s needs a value", name)
			default:
				value, arguments = arguments[0], arguments[1:]
			}
		}
		given[name] = append(given[name], value)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if err := c.set("command line", name, given[name], false); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) set(place, name string, values []string, adds bool) error {
	known, ok := flags[name]
	switch {
	case !ok || known.roles&c.role == 0:
		return fmt.Errorf("flag provided but not defined: -%s", name)
	case known.kind != list && len(values) != 1:
		return fmt.Errorf("%s: %q takes one value, not %d", place, name, len(values))
	case known.kind != list && adds:
		return fmt.Errorf("%s: %q takes one value: nothing can be added to it", place, name)
	}
	if known.kind == yesNo {
		if _, err := strconv.ParseBool(values[0]); err != nil {
			return fmt.Errorf("%s: %q must be true or false, not %q", place, name, values[0])
		}
	}
	if adds {
		values = append(c.values[name], values...)
	}
	c.values[name] = values
	return nil
}

// Text is the value of a setting, or what stands in for it when it was not given.
func (c *Config) Text(name, otherwise string) string {
	c.mustBe(name, text)
	if values := c.values[name]; len(values) > 0 && values[0] != "" {
		return values[0]
	}
	return otherwise
}

// Is says whether a setting that is true or false is true.
func (c *Config) Is(name string) bool {
	c.mustBe(name, yesNo)
	values := c.values[name]
	if len(values) == 0 {
		return false
	}
	is, _ := strconv.ParseBool(values[0])
	return is
}

// List holds the values of a setting that may have several; commas separate as well.
func (c *Config) List(name string) []string {
	c.mustBe(name, list)
	if strings.HasSuffix(name, "-arg") {
		return c.values[name]
	}
	result := []string{}
	for _, value := range c.values[name] {
		for _, part := range strings.Split(value, ",") {
			if part = strings.TrimSpace(part); part != "" {
				result = append(result, part)
			}
		}
	}
	return result
}

// Secret is the first word of the setting, or of the file that the setting `<name>-file` names.
func (c *Config) Secret(name string) (string, error) {
	if value := c.Text(name, ""); value != "" {
		return value, nil
	}
	path := c.Text(name+"-file", "")
	if path == "" {
		return "", nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	value := strings.TrimSpace(string(content))
	if value == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return value, nil
}

// StandIns says of each setting that was given and does not do here what it does in K3s, what is done instead.
func (c *Config) StandIns() []string {
	result := []string{}
	for _, name := range slices.Sorted(maps.Keys(c.values)) {
		if instead := flags[name].standIn; instead != "" && c.values[name][0] != "false" {
			result = append(result, fmt.Sprintf("%s=%s: in the lab, %s", name, c.values[name][0], instead))
		}
	}
	return result
}

func (c *Config) mustBe(name string, wanted kind) {
	if known, ok := flags[name]; !ok || known.kind != wanted {
		panic("no such setting of that kind: " + name)
	}
}
