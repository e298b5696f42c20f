package playbook

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"pitr"
)

// maxFile bounds the file of a playbook.
const maxFile = 1 << 20

// The keys of a file, of a step beside its command, and of a step's options beside those of the command.
const (
	keyName    = "name"
	keyCluster = "cluster"
	keySteps   = "steps"
	keyConfirm = "confirm"
	keyArgs    = "args"
)

// Parse reads a procedure from a file and checks it; see docs/playbook.md for the form. Everything in it is known, or it is
// refused with the line where it stands.
func Parse(content []byte, o CheckOptions) (Procedure, error) {
	p := parser{CheckOptions: o}
	procedure, err := p.parse(content)
	if err != nil {
		return Procedure{}, err
	}
	return procedure, Check(procedure, o)
}

type parser struct{ CheckOptions }

func (p parser) parse(content []byte) (Procedure, error) {
	const op = "read the playbook"
	if len(content) > maxFile {
		return Procedure{}, pitr.Errorf(pitr.KindInvalid, op, "see `pitr playbook new` for an example", "the file has %d bytes: that is no playbook", len(content))
	}
	var root yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	if err := decoder.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file is empty")
		}
		return Procedure{}, pitr.Errorf(pitr.KindInvalid, op, "see `pitr playbook new` for an example", "not valid YAML: %w", err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Procedure{}, pitr.Errorf(pitr.KindInvalid, op, "make a file of each", "the file holds more than one document")
	}
	procedure := Procedure{}
	pairs, err := pairsOf(root.Content[0])
	if err != nil {
		return Procedure{}, err
	}
	for _, pair := range pairs {
		switch pair.key {
		case keyName:
			procedure.Name, err = scalarOf(pair)
		case keyCluster:
			procedure.Cluster, err = scalarOf(pair)
		case keySteps:
			procedure.Steps, err = p.steps(pair.value)
		default:
			known := []string{keyName, keyCluster, keySteps}
			err = refuse(pair.value, p.suggest(pair.key, known, "a playbook has name, cluster and steps"), "%q is no key of a playbook", pair.key)
		}
		if err != nil {
			return Procedure{}, err
		}
	}
	return procedure, nil
}

// refuse says in which line something cannot be used.
func refuse(node *yaml.Node, hint, message string, args ...any) error {
	return pitr.Errorf(pitr.KindInvalid, fmt.Sprintf("read the playbook, line %d", node.Line), hint, message, args...)
}

// pair is a key with its value.
type pair struct {
	key   string
	value *yaml.Node
}

func pairsOf(node *yaml.Node) ([]pair, error) {
	if node.Kind != yaml.MappingNode {
		return nil, refuse(node, "see `pitr playbook new` for an example", "here should be `key: value` lines")
	}
	var pairs []pair
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if key.Kind != yaml.ScalarNode {
			return nil, refuse(key, "see `pitr playbook new` for an example", "a key is a word")
		}
		if slices.ContainsFunc(pairs, func(p pair) bool { return p.key == key.Value }) {
			return nil, refuse(key, "remove one of them", "%q stands twice", key.Value)
		}
		pairs = append(pairs, pair{key: key.Value, value: node.Content[i+1]})
	}
	return pairs, nil
}

func scalarOf(p pair) (string, error) {
	if p.value.Kind != yaml.ScalarNode || p.value.Tag == "!!null" || p.value.Value == "" {
		return "", refuse(p.value, "write one value behind it", "%s has no value", p.key)
	}
	return p.value.Value, nil
}

func (p parser) steps(node *yaml.Node) ([]Step, error) {
	if node.Kind != yaml.SequenceNode {
		return nil, refuse(node, "write `- find:` and so on, one step a line", "steps is a list")
	}
	var steps []Step
	for _, item := range node.Content {
		step, err := p.step(item)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// step reads `- find: {since: "2h ago"}`, with `confirm:` beside it where the step writes.
func (p parser) step(node *yaml.Node) (Step, error) {
	if node.Kind == yaml.ScalarNode && node.Value != "" { // `- writers`
		return Step{Command: node.Value}, p.known(node, node.Value)
	}
	pairs, err := pairsOf(node)
	if err != nil {
		return Step{}, err
	}
	var command *pair
	confirm := ""
	for _, each := range pairs {
		if each.key == keyConfirm {
			if confirm, err = scalarOf(each); err != nil {
				return Step{}, err
			}
			if confirm != confirmName {
				return Step{}, refuse(each.value, "write `confirm: type-cluster-name`", "%q is no way to confirm", confirm)
			}
			continue
		}
		if command != nil {
			return Step{}, refuse(each.value, "begin each step with a hyphen; options stand in braces: `find: {since: 2h ago}`",
				"a step is one command, here are %s and %s", command.key, each.key)
		}
		command = &each
	}
	if command == nil {
		return Step{}, refuse(node, "write a command before it", "here is a confirmation without a step")
	}
	if err := p.known(command.value, command.key); err != nil {
		return Step{}, err
	}
	step, err := p.options(command)
	if err == nil && confirm != "" && !NeedsTarget(step, p.Commands) {
		err = refuse(node, "remove `confirm`", "%s writes nothing to the cluster, so nothing is confirmed", step.Command)
	}
	return step, err
}

// known refuses an unknown step in the words of Check, with its line.
func (p parser) known(node *yaml.Node, name string) error {
	_, found := commandNamed(name, p.Commands)
	if found || name == stepNotify {
		return nil
	}
	return refuse(node, p.suggest(name, stepNames(p.Commands), "see `pitr --help` for the commands"), "%q is no step", name)
}

// options makes arguments of what stands behind a command: nothing, its one argument, or its options.
func (p parser) options(command *pair) (Step, error) {
	step := Step{Command: command.key}
	var operands []string
	switch node := command.value; {
	case node.Kind == yaml.ScalarNode && node.Tag == "!!null":
	case node.Kind == yaml.ScalarNode:
		operands = []string{node.Value}
	default:
		pairs, err := pairsOf(node)
		if err != nil {
			return step, err
		}
		for _, each := range pairs {
			values, err := valuesOf(each)
			switch {
			case err != nil:
				return step, err
			case each.key == keyArgs:
				operands = values
				continue
			}
			for _, value := range values {
				step.Arguments = append(step.Arguments, "--"+each.key+"="+value)
			}
		}
	}
	declared, _ := commandNamed(step.Command, p.Commands)
	if len(operands) == 0 && len(declared.Arguments) > 0 && declared.Arguments[0] == TheJob {
		operands = []string{TheJob}
	}
	if len(operands) > 0 {
		step.Arguments = append(append(step.Arguments, "--"), operands...)
	}
	return step, nil
}

func valuesOf(p pair) ([]string, error) {
	if p.value.Kind != yaml.SequenceNode {
		value, err := scalarOf(p)
		return []string{value}, err
	}
	var values []string
	for _, item := range p.value.Content {
		value, err := scalarOf(pair{key: p.key, value: item})
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	if len(values) == 0 {
		return nil, refuse(p.value, "write at least one value", "%s has no value", p.key)
	}
	return values, nil
}

// Write gives the file of a procedure, such that Parse reads it back.
func Write(p Procedure, commands []Command) []byte {
	var out strings.Builder
	fmt.Fprintf(&out, "name: %s\ncluster: %s\nsteps:\n", yamlText(p.Name), yamlText(p.Cluster))
	for _, step := range p.Steps {
		view := StepView{step}
		fmt.Fprintf(&out, "  - %s:", step.Command)
		options := yamlOptions(step)
		if operands := view.Operands(); len(operands) > 0 && !slices.Equal(operands, []string{TheJob}) {
			quotedOperands := make([]string, len(operands))
			for i, operand := range operands {
				quotedOperands[i] = yamlText(operand)
			}
			options = append(options, keyArgs+": ["+strings.Join(quotedOperands, ", ")+"]")
		}
		if len(options) > 0 {
			fmt.Fprintf(&out, " {%s}", strings.Join(options, ", "))
		}
		out.WriteByte('\n')
		if NeedsTarget(step, commands) {
			out.WriteString("    " + keyConfirm + ": " + confirmName + "\n")
		}
	}
	return []byte(out.String())
}

// yamlOptions gives the options of a step, one that is repeated as a list.
func yamlOptions(step Step) []string {
	var names []string
	values := map[string][]string{}
	for _, word := range step.Arguments {
		if word == "--" {
			break
		}
		name, value, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
		if values[name] == nil {
			names = append(names, name)
		}
		values[name] = append(values[name], yamlText(value))
	}
	for i, name := range names {
		text := strings.Join(values[name], ", ")
		if len(values[name]) > 1 {
			text = "[" + text + "]"
		}
		names[i] = name + ": " + text
	}
	return names
}

// yamlText quotes what YAML would not read as plain text.
func yamlText(text string) string {
	if text != "" && text != "null" && !strings.ContainsFunc(text, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", r)
	}) {
		return text
	}
	return fmt.Sprintf("%q", text)
}
