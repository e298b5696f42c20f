package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"pitr"
)

// The scripts ask the program itself, so they know what this version knows. What stands on the line is passed on as it is:
// nothing of it is evaluated.
const bashCompletion = `# completion of pitr for bash
_pitr() {
  local cur="${COMP_WORDS[COMP_CWORD]}" line
  local -a words=("${COMP_WORDS[@]:0:COMP_CWORD}")
  [[ "$cur" == -* ]] && words+=("$cur")
  COMPREPLY=()
  while IFS= read -r line; do
    [[ -n "$line" && "$line" == "$cur"* ]] && COMPREPLY+=("$line")
  done < <("${words[@]}" --generate-bash-completion 2>/dev/null)
}
complete -o bashdefault -o default -F _pitr pitr
`

const zshCompletion = `#compdef pitr
# completion of pitr for zsh
_pitr() {
  local cur="${words[CURRENT]}"
  local -a asked=("${(@)words[1,CURRENT-1]}") found
  [[ "$cur" == -* ]] && asked+=("$cur")
  found=("${(@f)$(_CLI_ZSH_AUTOCOMPLETE_HACK=1 "${asked[@]}" --generate-bash-completion 2>/dev/null)}")
  if [[ -n "${found[1]}" ]]; then
    _describe 'pitr' found
  else
    _files
  fi
}
if [[ "${funcstack[1]}" == "_pitr" ]]; then
  _pitr "$@"
else
  compdef _pitr pitr
fi
`

// completing is the flag by which a completion script asks; the library wants it last.
const completing = "--generate-bash-completion"

func completionCommand(s streams) *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "print the completion script of a shell", ArgsUsage: "bash|zsh|fish",
		Description: "Example:\n   pitr completion bash > /etc/bash_completion.d/pitr\n" +
			"   pitr completion zsh > /usr/local/share/zsh/site-functions/_pitr\n   pitr completion fish > ~/.config/fish/completions/pitr.fish",
		Action: action(s, []string{"SHELL"}, printCompletion),
	}
}

// scriptLine is the JSON line of commands that print a text for another program.
type scriptLine struct {
	Type    string `json:"type"`
	Version int    `json:"v"`
	Name    string `json:"name"`
	Text    string `json:"text,omitempty"`
}

func printCompletion(_ context.Context, run *session, c *cli.Context) error {
	var script string
	switch shell := c.Args().First(); shell {
	case "bash":
		script = bashCompletion
	case "zsh":
		script = zshCompletion
	case "fish":
		var err error
		if script, err = newApp(run.streams).ToFishCompletion(); err != nil {
			return err
		}
	default:
		return pitr.Errorf(pitr.KindInvalid, "read the name of the shell", "write bash, zsh or fish", "%q is no shell that pitr knows", shell)
	}
	if run.json {
		return run.line(scriptLine{Type: "script", Version: 1, Name: c.Args().First(), Text: script})
	}
	fmt.Fprint(run.out, script)
	return nil
}
