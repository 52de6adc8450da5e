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
