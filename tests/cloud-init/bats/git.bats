#!/usr/bin/env bats
# The clone's reasons and limits, the credential's host, the rescue of what is not pushed.
load support

setup() {
  setup_vm
  credential ''
}

# What share.py makes of the given Git token or key, for the URL of the repository.
credential() {
  printf %s "$1" >"$MAYFLY_ROOT/etc/mayfly/secrets/git_token"
  PYTHONPATH=/opt/mayfly:/opt/mayfly/workspace python3 -c 'import share; share.for_git()'
}

KEY=$'-----BEGIN OPENSSH PRIVATE KEY-----\nbase64\n-----END OPENSSH PRIVATE KEY-----\n'

reason() {
  # shellcheck source=/dev/null
  . /opt/mayfly/workspace/clone
  printf '%s\n' "$1" >"$BATS_TEST_TMPDIR/log"
  reason_of "$BATS_TEST_TMPDIR/log" "${2:-0}" "${3:-0}"
}

@test "git's words become reason codes" {
  [ "$(reason "fatal: Authentication failed for 'https://git.example/o/r/'")" = auth_failed ]
  [ "$(reason "fatal: could not read Username for 'https://github.com': terminal prompts disabled")" = auth_failed ]
  [ "$(reason "git@h: Permission denied (publickey).")" = auth_failed ]
  [ "$(reason "remote: Repository not found.")" = not_found ]
  [ "$(reason "warning: Could not find remote branch x; fatal: Remote branch x not found in upstream origin")" = not_found ]
  [ "$(reason "fatal: unable to access 'https://h/': Could not resolve host: h")" = unreachable ]
  [ "$(reason "fatal: write error: No space left on device")" = no_space ]
  [ "$(reason "fatal: something new")" = clone_failed ]
}

@test "a packet that the firewall refused is the reason, whatever git says" {
  [ "$(reason "fatal: unable to access: Failed to connect to 10.0.0.1: No route to host" 3 4)" = forbidden_address ]
  [ "$(reason "fatal: repository not found" 3 4)" = not_found ]
  [ "$(reason "fatal: unable to access: No route to host" 3 3)" = unreachable ]
}

@test "the clone may use https and ssh and nothing else, and leaves no credential behind" {
  credential token
  . /opt/mayfly/workspace/clone
  run options
  [[ $output == *"protocol.allow=never"*"protocol.https.allow=always"*"protocol.ssh.allow=always"* ]]
  [[ $output == *"credential.https://git.example.helper="* ]]
  [[ $output != *token$'\n'* && $output != *"credential.helper=store"* ]]
}

# What git makes of a URL with the options of a clone.
leads() {
  local git
  . /opt/mayfly/workspace/clone
  mapfile -t git < <(options)
  git "${git[@]}" ls-remote --get-url "$1"
}

@test "what names the host by ssh comes over https with a token, and without a credential where it usually can" {
  printf ssh://forge@git.example:2222/o/repo >"$MAYFLY_ROOT/etc/mayfly/values/repo_url"
  [ "$(leads git@git.example:o/part)" = https://git.example/o/part ]
  [ "$(leads ssh://git@git.example/o/part)" = https://git.example/o/part ]
  [ "$(leads ssh://forge@git.example:2222/o/repo)" = ssh://forge@git.example:2222/o/repo ]
  [ "$(leads git@other.example:o/part)" = git@other.example:o/part ]
  credential token
  [ "$(leads ssh://forge@git.example:2222/o/repo)" = https://git.example/o/repo ]
  [ "$(leads git@git.example:o/part)" = https://git.example/o/part ]
  [ "$(leads git@other.example:o/part)" = git@other.example:o/part ]
  printf forge@git.example:o/repo >"$MAYFLY_ROOT/etc/mayfly/values/repo_url"
  credential token
  [ "$(leads forge@git.example:o/repo)" = https://git.example/o/repo ]
}

@test "a key is for ssh, and ssh offers it to that host alone" {
  printf ssh://git@git.example:2222/o/repo >"$MAYFLY_ROOT/etc/mayfly/values/repo_url"
  credential "$KEY"
  local dir=$MAYFLY_ROOT/run/mayfly/git
  [ "$(cat "$dir/key")" = "${KEY%$'\n'}" ]
  [ ! -s "$dir/token" ]
  [ "$(leads git@git.example:o/part)" = git@git.example:o/part ]
  . /opt/mayfly/workspace/clone
  run options
  [[ $output == *"core.sshCommand=ssh -F $dir/ssh_config"* && $output != *base64* ]]
  [ "$(ssh -F "$dir/ssh_config" -G git@git.example | grep ^identityfile)" = "identityfile $dir/key" ]
  ! ssh -F "$dir/ssh_config" -G git@evil.example | grep "$dir/key"
  ! ssh -F "$dir/ssh_config" -G git@git.example.evil.test | grep "$dir/key"
  ssh -F "$dir/ssh_config" -G git@git.example | grep -qx 'batchmode yes'
  # A key is no password: not for a URL of https, wherever it came from.
  printf https://git.example/o/repo >"$MAYFLY_ROOT/etc/mayfly/values/repo_url"
  credential "$KEY"
  [ ! -s "$dir/key" ] && [ ! -s "$dir/token" ]
}

@test "a url that looks like an option or another protocol is only ever a url" {
  . /opt/mayfly/workspace/clone
  as_dev() { printf '%s\n' "$@" >"$BATS_TEST_TMPDIR/argv"; }
  printf -- '--upload-pack=touch /tmp/pwned' >"$MAYFLY_ROOT/etc/mayfly/values/repo_url"
  printf 'x; reboot' >"$MAYFLY_ROOT/etc/mayfly/values/branch"
  clone "$MAYFLY_ROOT/workspaces/repo"
  run tail -n 3 "$BATS_TEST_TMPDIR/argv"
  [ "${lines[0]}" = -- ]
  [ "${lines[1]}" = "--upload-pack=touch /tmp/pwned" ]
  grep -qx -- '--branch=x; reboot' "$BATS_TEST_TMPDIR/argv"
}

ask() {
  printf 'protocol=%s\nhost=%s\n\n' "$2" "$3" | /opt/mayfly/workspace/git-credential "$BATS_TEST_TMPDIR/git" "$1"
}

@test "the credential is for its host over https and for nobody else" {
  mkdir "$BATS_TEST_TMPDIR/git"
  printf git.example:8443 >"$BATS_TEST_TMPDIR/git/host"
  printf ghp_abc >"$BATS_TEST_TMPDIR/git/token"
  [ "$(ask get https git.example:8443)" = $'username=x-access-token\npassword=ghp_abc' ]
  [ -z "$(ask get https git.example)" ]
  [ -z "$(ask get https evil.example)" ]
  [ -z "$(ask get https xgit.example:8443)" ]
  [ -z "$(ask get http git.example:8443)" ]
  [ -z "$(ask store https git.example:8443)" ]
  [ -z "$(ask erase https git.example:8443)" ]
  printf me:pass:word >"$BATS_TEST_TMPDIR/git/token"
  [ "$(ask get https git.example:8443)" = $'username=me\npassword=pass:word' ]
}

@test "git itself asks the helper for the right host only" {
  mkdir "$BATS_TEST_TMPDIR/git"
  printf git.example >"$BATS_TEST_TMPDIR/git/host"
  printf ghp_abc >"$BATS_TEST_TMPDIR/git/token"
  fill() {
    printf 'protocol=https\nhost=%s\n\n' "$1" | GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=true git -c credential.helper= \
      -c "credential.https://git.example.helper=/opt/mayfly/workspace/git-credential $BATS_TEST_TMPDIR/git" credential fill 2>/dev/null || :
  }
  [[ $(fill git.example) == *password=ghp_abc* ]]
  [[ $(fill git.example.evil.test) != *ghp_abc* ]]
}

# A workspace whose only remote is a folder; what would be pushed is recorded.
workspace_with_remote() {
  local ws=$MAYFLY_ROOT/workspaces/repo
  git init -q --bare "$BATS_TEST_TMPDIR/remote"
  git -c init.defaultBranch=main init -q "$ws"
  git -C "$ws" config user.email a@b
  git -C "$ws" config user.name a
  echo one >"$ws/file"
  git -C "$ws" add -A
  git -C "$ws" commit -qm one
  git -C "$ws" remote add origin "$BATS_TEST_TMPDIR/remote"
  git -C "$ws" push -q origin main
  git -C "$ws" fetch -q
  # As dev without dev: the tests' folders are root's.
  cat >"$BATS_TEST_TMPDIR/run-rescue" <<SCRIPT
. /opt/mayfly/workspace/rescue
as_dev() { env "\$@"; }
g_push=
eval "\$(declare -f g | sed '1s/^g /real_g /')"
g() { case " \$* " in *" push "*) printf '%s\n' "\$@" >"$BATS_TEST_TMPDIR/pushed"; return "\${PUSH_STATUS:-0}" ;; *) real_g "\$@" ;; esac; }
main
SCRIPT
}

@test "a clean, pushed workspace has nothing to rescue" {
  workspace_with_remote
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 0 ]
  [ ! -e "$BATS_TEST_TMPDIR/pushed" ]
}

@test "a look writes nothing, not even what it learnt about files that are as they were" {
  workspace_with_remote
  local ws=$MAYFLY_ROOT/workspaces/repo before
  touch -d '2001-02-03' "$ws/file"
  before=$(sha256sum "$ws/.git/index")
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 0 ]
  [ "$(sha256sum "$ws/.git/index")" = "$before" ]
}

@test "uncommitted work without a credential is told, not lost" {
  workspace_with_remote
  echo two >"$MAYFLY_ROOT/workspaces/repo/new"
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 75 ]
}

@test "changes, branches and stashes are pushed to rescue branches of repo_url, and the workspace stays as it is" {
  workspace_with_remote
  local ws=$MAYFLY_ROOT/workspaces/repo before
  credential token
  git -C "$ws" remote set-url origin https://evil.example/x
  echo stashed >"$ws/file" && git -C "$ws" stash -q
  git -C "$ws" switch -qc side && echo side >"$ws/side" && git -C "$ws" add -A && git -C "$ws" commit -qm side
  echo staged >"$ws/file" && git -C "$ws" add file && echo untracked >"$ws/new"
  before=$(git -C "$ws" status --porcelain)
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  echo "$output"
  [ "$status" -eq 0 ]
  grep -qx https://git.example/o/repo "$BATS_TEST_TMPDIR/pushed"
  ! grep -q evil "$BATS_TEST_TMPDIR/pushed"
  grep -qE '^[0-9a-f]{40}:refs/heads/mayfly/rescue-[0-9]{8}-[0-9]{6}$' "$BATS_TEST_TMPDIR/pushed"
  grep -qE '^refs/heads/side:refs/heads/mayfly/rescue-[0-9-]+-side$' "$BATS_TEST_TMPDIR/pushed"
  grep -qE '^refs/stash:refs/heads/mayfly/rescue-[0-9-]+-stash$' "$BATS_TEST_TMPDIR/pushed"
  commit=$(grep -oE '^[0-9a-f]{40}' "$BATS_TEST_TMPDIR/pushed")
  [ "$(git -C "$ws" show "$commit:file")" = staged ]
  [ "$(git -C "$ws" show "$commit:new")" = untracked ]
  [ "$(git -C "$ws" status --porcelain)" = "$before" ]
}

@test "work is pushed with a key, too" {
  workspace_with_remote
  printf git@git.example:o/repo >"$MAYFLY_ROOT/etc/mayfly/values/repo_url"
  credential "$KEY"
  echo two >"$MAYFLY_ROOT/workspaces/repo/new"
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 0 ]
  grep -qx git@git.example:o/repo "$BATS_TEST_TMPDIR/pushed"
  grep -qx "core.sshCommand=ssh -F $MAYFLY_ROOT/run/mayfly/git/ssh_config" "$BATS_TEST_TMPDIR/pushed"
  grep -qx protocol.ssh.allow=always "$BATS_TEST_TMPDIR/pushed"
}

@test "a hostile git configuration starts nothing" {
  workspace_with_remote
  local ws=$MAYFLY_ROOT/workspaces/repo
  printf '#!/bin/sh\ntouch %s/pwned\n' "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/evil"
  chmod +x "$BATS_TEST_TMPDIR/evil"
  git -C "$ws" config core.fsmonitor "$BATS_TEST_TMPDIR/evil"
  mkdir -p "$ws/.git/hooks" && cp "$BATS_TEST_TMPDIR/evil" "$ws/.git/hooks/post-index-change"
  echo two >"$ws/new"
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ ! -e "$BATS_TEST_TMPDIR/pwned" ]
}

@test "commits that no branch has are pushed, and what is nowhere else inside the workspace keeps the VM" {
  workspace_with_remote
  local ws=$MAYFLY_ROOT/workspaces/repo
  credential token
  git -C "$ws" checkout -q --detach
  git -C "$ws" commit -q --allow-empty -m "on no branch"
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 0 ]
  grep -q '^HEAD:refs/heads/mayfly/rescue-.*-head$' "$BATS_TEST_TMPDIR/pushed"
  git -C "$ws" checkout -q main
  rm "$BATS_TEST_TMPDIR/pushed"
  # A repository inside, as a submodule or an agent's worktree is: clean and pushed, then with changes of its own.
  git clone -q "$BATS_TEST_TMPDIR/remote" "$ws/inner"
  printf 'inner\n' >>"$ws/.git/info/exclude"
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 0 ]
  echo new >"$ws/inner/new"
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 1 ]
  [[ $output == *'not pushed anywhere: '*/inner* ]]
  # One that git cannot read does not pass for a clean one.
  rm "$ws/inner/new"
  echo rubbish >"$ws/inner/.git/index"
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 1 ]
}

@test "a filter of the workspace's configuration is not run" {
  workspace_with_remote
  local ws=$MAYFLY_ROOT/workspaces/repo
  git -C "$ws" config filter.evil.clean "touch $BATS_TEST_TMPDIR/ran; cat"
  git -C "$ws" config filter.evil.required true
  echo '* filter=evil' >"$ws/.gitattributes"
  echo two >"$ws/new"
  credential token
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 0 ]
  [ -e "$BATS_TEST_TMPDIR/pushed" ]
  [ ! -e "$BATS_TEST_TMPDIR/ran" ]
}

@test "a push that fails and a git that breaks are failures" {
  workspace_with_remote
  credential token
  echo two >"$MAYFLY_ROOT/workspaces/repo/new"
  PUSH_STATUS=1 run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 1 ]
  echo rubbish >"$MAYFLY_ROOT/workspaces/repo/.git/index"
  rm -f "$BATS_TEST_TMPDIR/pushed"
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -ne 0 ]
  [ "$status" -ne 75 ]
  [ ! -e "$BATS_TEST_TMPDIR/pushed" ]
}

@test "what a verified backup holds is not pushed; when there is none, it is" {
  workspace_with_remote
  credential token
  echo two >"$MAYFLY_ROOT/workspaces/repo/new"
  stub python3 <<<'exit 0'
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 0 ]
  [ ! -e "$BATS_TEST_TMPDIR/pushed" ]
  [ "$(calls python3 | paste -sd ' ')" = "/opt/mayfly/workspace/backup.py last /opt/mayfly/workspace/backup.py told-saved" ]
  stub python3 <<<'exit 75'
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 0 ]
  [ -e "$BATS_TEST_TMPDIR/pushed" ]
}

@test "a backup that fails is waited for and told, whatever was pushed, and given up after an hour" {
  workspace_with_remote
  local failing=$MAYFLY_ROOT/run/mayfly/rescue.failing
  credential token
  echo two >"$MAYFLY_ROOT/workspaces/repo/new"
  stub python3 <<<'[ "$2" != last ] || exit 1'
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 1 ]
  [ -e "$BATS_TEST_TMPDIR/pushed" ]
  [[ $(calls python3) == *told-unsaved ]]
  echo $(($(date +%s) - 3000)) >"$failing"
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 1 ]
  echo $(($(date +%s) - 3600)) >"$failing"
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 0 ]
  [[ $output == *'given up'* ]]
  # What is neither backed up nor pushed waits on.
  PUSH_STATUS=1 run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 1 ]
  # One that succeeds ends it: the next failure has its hour again.
  stub python3 <<<'exit 0'
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 0 ]
  [ ! -e "$failing" ]
  [[ $(calls python3) == *told-saved ]]
}

@test "files without a repository are saved, or wait for the expiry" {
  local ws=$MAYFLY_ROOT/workspaces/repo
  workspace_with_remote
  rm -rf "$ws/.git"
  stub python3 <<<'exit 75'
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 75 ]
  stub python3 <<<'exit 0'
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 0 ]
  rm -rf "$ws" && mkdir "$ws"
  stub python3 <<<'exit 75'
  run bash "$BATS_TEST_TMPDIR/run-rescue"
  [ "$status" -eq 0 ]
}

# ends WHY: what end.py does about an idle or expired VM, with the real rescue and backup.py; the ways to its deletion are recorded.
ends() {
  mkdir -p "$BATS_TEST_TMPDIR/here"
  printf '#!/bin/bash\nMAYFLY_HERE=/opt/mayfly/workspace exec bash %s/run-rescue\n' "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/here/rescue"
  chmod +x "$BATS_TEST_TMPDIR/here/rescue"
  MAYFLY_HERE=$BATS_TEST_TMPDIR/here python3 - "$1" <<'PY'
import sys
import common, end
def deleted(machine):
    return True, "gone"
end.ways = lambda machine: [deleted]
end.worker.send = lambda *args, **more: None
end.end(common.vm(), sys.argv[1], clock=iter([0, 10_000]).__next__)
PY
}

@test "where nothing is kept, an idle VM pushes its work, or waits for the expiry and says why" {
  workspace_with_remote
  echo two >"$MAYFLY_ROOT/workspaces/repo/new"
  run ends idle
  [[ $output == *'idle, but there is unpushed work and no Git credential: waiting for the expiry'* ]]
  [[ $output != *accepted* ]]
  [ ! -e "$BATS_TEST_TMPDIR/pushed" ]
  run ends expired
  [[ $output == *'ending: expired; there is unpushed work and no Git credential'*'deleted: accepted'* ]]
  credential token
  PUSH_STATUS=1 run ends idle
  [[ $output == *'the work could not be saved: waiting for the expiry'* ]]
  [[ $output != *accepted* ]]
  run ends idle
  [[ $output == *'saved to mayfly/rescue-'*'ending: idle'*'deleted: accepted'* ]]
  [ -e "$BATS_TEST_TMPDIR/pushed" ]
}

@test "a workspace that was put back is fetched into and not cloned, merged or reset" {
  local ws=$MAYFLY_ROOT/workspaces/repo
  . /opt/mayfly/workspace/clone
  as_dev() { printf '%s\n' "$*" >>"$BATS_TEST_TMPDIR/dev.calls"; }
  stub nft <<<'exit 0'
  stub python3 <<<"mkdir -p '$ws/.git'"
  run main
  [ "$status" -eq 0 ]
  [ "$(calls python3)" = "/opt/mayfly/workspace/backup.py restore" ]
  [ "$(wc -l <"$BATS_TEST_TMPDIR/dev.calls")" -eq 1 ]
  # What a person makes of it is theirs: nothing is put back or cloned over it at a reboot.
  rm -rf "$ws/.git" && touch "$ws/mine"
  run main
  [ "$status" -eq 0 ]
  [ -e "$ws/mine" ]
  [ "$(calls python3 | wc -l)" -eq 1 ]
  # A copy of the disk is another VM.
  printf other >"$MAYFLY_ROOT/etc/mayfly/values/vm"
  run main
  [ "$(calls python3 | wc -l)" -eq 2 ]
  grep -q -- "-C $ws .*core.hooksPath=/dev/null .*fetch --all --quiet$" "$BATS_TEST_TMPDIR/dev.calls"
}

@test "work that was put back on another branch than the one that was asked for is told" {
  local ws=$MAYFLY_ROOT/workspaces/repo
  . /opt/mayfly/workspace/clone
  as_dev() { [[ $* != *symbolic-ref* ]] || echo theirs; }
  stub nft <<<'exit 0'
  stub python3 <<<"mkdir -p '$ws/.git'"
  for branch in theirs mine; do
    rm -rf "$ws" "$MAYFLY_ROOT/var/lib/mayfly/cloned" "$MAYFLY_ROOT/run/mayfly/reason"
    printf %s "$branch" >"$MAYFLY_ROOT/etc/mayfly/values/branch"
    run main
    [ "$status" -eq 0 ]
    cat "$MAYFLY_ROOT/run/mayfly/reason" >>"$BATS_TEST_TMPDIR/told" 2>/dev/null || echo nothing >>"$BATS_TEST_TMPDIR/told"
  done
  [ "$(paste -sd ' ' "$BATS_TEST_TMPDIR/told")" = "nothing other_branch" ]
}

@test "a backup that is not there or cannot be put back keeps nobody from a clone, and the latter is told" {
  . /opt/mayfly/workspace/clone
  clone() { printf cloned >"$BATS_TEST_TMPDIR/cloned"; }
  stub nft <<<'exit 0'
  for status in 75 1 124; do
    stub python3 <<<"exit $status"
    rm -f "$BATS_TEST_TMPDIR/cloned" "$MAYFLY_ROOT/run/mayfly/reason" "$MAYFLY_ROOT/var/lib/mayfly/cloned"
    run main
    [ "$status" -eq 0 ]
    [ -e "$BATS_TEST_TMPDIR/cloned" ]
    cat "$MAYFLY_ROOT/run/mayfly/reason" >>"$BATS_TEST_TMPDIR/told" 2>/dev/null || echo nothing >>"$BATS_TEST_TMPDIR/told"
  done
  [ "$(paste -sd ' ' "$BATS_TEST_TMPDIR/told")" = "nothing not_restored not_restored" ]
}
