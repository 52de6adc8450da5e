#!/usr/bin/env bats
# The ways into the container and what is in there: the wrapper, the terminal's shell, the environment, the hook.
load support

setup() {
  setup_vm
  mkdir -p /mnt/mayfly/spool /var/lib/mayfly/container
  rm -f /mnt/mayfly/spool/* /mnt/mayfly/spool/.[!.]*
}

teardown() {
  rm -rf /mnt/mayfly /var/lib/mayfly/container
}

container() {
  echo 0123456789ab >/var/lib/mayfly/container/id
  echo vscode >/var/lib/mayfly/container/user
  echo /workspaces/repo >/var/lib/mayfly/container/folder
}

@test "without a container the wrapper says so and runs nothing" {
  rm -rf /var/lib/mayfly/container
  stub docker <<<':'
  run /opt/mayfly/workspace/in-container id
  [ "$status" -eq 69 ]
  [ -z "$(calls docker)" ]
}

@test "one that does not run is no place to go" {
  container
  stub docker <<<'[ "$1" != inspect ] || echo false'
  run /opt/mayfly/workspace/in-container id
  [ "$status" -eq 69 ]
  [[ $(calls docker) != *exec* ]]
}

@test "arguments stay what they are, and options of docker are not the caller's" {
  container
  stub docker <<<'[ "$1" != inspect ] || { echo true; exit; }; printf "<%s>" "$@" >"'"$BATS_TEST_TMPDIR"'/exec"'
  cd /
  /opt/mayfly/workspace/in-container --privileged 'a b' '$(id)' ';' </dev/null
  [[ $(cat "$BATS_TEST_TMPDIR/exec") == "<exec><-i><-u><vscode><-w></workspaces/repo>"*"<0123456789ab></bin/sh></mnt/mayfly/enter><--privileged><a b><\$(id)><;>" ]]
}

@test "the environment is the workspace's, and no command means a shell" {
  printf "export A='it is'\n" >/mnt/mayfly/env.sh
  run /opt/mayfly/workspace/container/enter sh -c 'printf "%s|%s" "$A" "$CLAUDE_CONFIG_DIR"'
  [ "$output" = "it is|/home/dev/.claude" ]
  run bash -c 'echo "echo in \$0" | /opt/mayfly/workspace/container/enter'
  [[ $output == "in "*bash ]]
}

# shell [KILLED] LINE...: types lines into a shell of the container, at a terminal, and leaves it or kills it.
shell() {
  python3 - "$@" <<'PY'
import os, pty, select, signal, sys
lines = sys.argv[1:]
killed = lines[0] == "KILLED" and bool(lines.pop(0))
child, terminal = pty.fork()
if child == 0:
    os.execv("/opt/mayfly/workspace/container/enter", ["enter"])
def until(mark):
    said = b""
    while mark not in said:
        if not select.select([terminal], [], [], 10)[0]:
            sys.exit(f"no {mark} in {said}")
        said += os.read(terminal, 4096)
    return said
os.write(terminal, b"PS1=pro; PS1=${PS1}mpt\\ \n")
until(b"prompt ")
for line in lines:
    os.write(terminal, line.encode() + b"\n")
    print(until(b"prompt ").decode())
if killed:
    os.kill(child, signal.SIGKILL)
else:
    os.write(terminal, b"exit\n")
os.waitpid(child, 0)
PY
}

@test "what was typed into a shell outlives it, however it ends, and the next one finds it" {
  : >/mnt/mayfly/env.sh
  mkdir -p /home/dev/.claude
  rm -f /home/dev/.claude/.bash_history ~/.bash_history
  shell KILLED 'echo first' 'echo "second one"'
  [ "$(stat -c %a /home/dev/.claude/.bash_history)" = 600 ]
  shell 'echo third'
  run shell history
  [[ $output == *'echo first'*'echo "second one"'*'echo third'*history* ]]
  [ "$(grep -c first /home/dev/.claude/.bash_history)" -eq 1 ]
  [ ! -e ~/.bash_history ]
  # Who wants no history has none.
  shell 'unset HISTFILE' 'echo unseen'
  ! grep -q unseen /home/dev/.claude/.bash_history
  [ ! -e ~/.history ]
  # A folder that cannot be written is no noise at every prompt.
  rm -rf /home/dev/.claude
  run shell 'echo still here'
  [ "$status" -eq 0 ]
  [[ $output == *'still here'* ]]
  [[ $output != *'annot'* ]]
}

@test "Claude Code gets the settings that say how it asks, and whoever brings their own keeps them" {
  mkdir -p /opt/mayfly-tools/claude-code
  printf '#!/bin/sh\nprintf "<%%s>" "$@" "$ANTHROPIC_AUTH_TOKEN"\n' >/opt/mayfly-tools/claude-code/claude
  chmod 0755 /opt/mayfly-tools/claude-code/claude
  rm -f /mnt/mayfly/agent-*
  claude() { env -u ANTHROPIC_AUTH_TOKEN sh /opt/mayfly/workspace/container/claude "$@"; }
  [ "$(claude -p 'a  b')" = '<-p><a  b><>' ]
  echo '{}' >/mnt/mayfly/agent-settings.json
  echo mfc1.x >/mnt/mayfly/agent-token
  [ "$(claude -p 'a  b')" = '<--settings></mnt/mayfly/agent-settings.json><-p><a  b><>' ]
  [ "$(claude)" = '<--settings></mnt/mayfly/agent-settings.json><>' ]
  [ "$(claude --settings x -p 'a  b')" = '<--settings><x><-p><a  b><mfc1.x>' ]
  [ "$(claude --settings=x)" = '<--settings=x><mfc1.x>' ]
  rm -rf /opt/mayfly-tools/claude-code
}

@test "root is told that it is in a sandbox" {
  : >/mnt/mayfly/env.sh
  [ "$(/opt/mayfly/workspace/container/enter sh -c 'echo $IS_SANDBOX')" = 1 ]
}

@test "the hook leaves one word per session, and no session writes elsewhere" {
  echo '{"session_id": "abc-1", "x": 1}' | /opt/mayfly/workspace/container/hook working
  echo '{"session_id": "abc-1"}' | /opt/mayfly/workspace/container/hook done
  echo '{"session_id": "../../etc/passwd"}' | /opt/mayfly/workspace/container/hook waiting
  [ "$(cat /mnt/mayfly/spool/abc-1)" = done ]
  [ "$(cat /mnt/mayfly/spool/unknown)" = waiting ]
  [ "$(ls -A /mnt/mayfly/spool | wc -l)" -eq 2 ]
}

@test "a hook that cannot write does not disturb the agent" {
  rm -rf /mnt/mayfly/spool
  run /opt/mayfly/workspace/container/hook done <<<'{}'
  [ "$status" -eq 0 ]
}

@test "the terminal's shell is the container's, or the VM's with a word about it" {
  stub sudo <<<'[ "${@: -1}" = --there ] && exit "$(cat "'"$BATS_TEST_TMPDIR"'/there")"; echo in the container'
  echo 0 >"$BATS_TEST_TMPDIR/there"
  run /opt/mayfly/workspace/shell </dev/null
  [ "$output" = "in the container" ]
  echo 69 >"$BATS_TEST_TMPDIR/there"
  run /opt/mayfly/workspace/shell </dev/null
  [[ $output == *"/_mayfly/status"* ]]
}
