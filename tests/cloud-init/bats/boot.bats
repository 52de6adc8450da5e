#!/usr/bin/env bats
# The boot's own logic: whose disk this is, reason codes, limits in time, pinned downloads, the devcontainer's fallback.
load support

setup() {
  setup_vm
}

instance() { # ID [BOARD]
  mkdir -p "$MAYFLY_ROOT/run/cloud-init" "$MAYFLY_ROOT/sys/class/dmi/id" "$MAYFLY_ROOT/var/lib/cloud/instances/$1"
  printf '%s\n' "$1" >"$MAYFLY_ROOT/run/cloud-init/.instance-id"
  printf '%s\n' "${2:-board-$1}" >"$MAYFLY_ROOT/sys/class/dmi/id/product_uuid"
}

vm_json() {
  printf '{"v":1,"vm":"%s","capability":"secret-%s"}' "$1" "$1" >"$MAYFLY_ROOT/etc/mayfly/vm.json"
}

@test "a disk is ours only after it was adopted, and stays ours" {
  instance 4711
  vm_json aaaa
  run /opt/mayfly/guard
  [ "$status" -ne 0 ]
  /opt/mayfly/guard --adopt
  /opt/mayfly/guard
}

@test "a clone wipes secrets, state, containers and the original's identity" {
  instance 4711
  vm_json aaaa
  /opt/mayfly/guard --adopt
  mkdir -p "$MAYFLY_ROOT/var/lib/docker/containers/abc" "$MAYFLY_ROOT/var/lib/mayfly-door"
  echo s >"$MAYFLY_ROOT/etc/mayfly/secrets/password"
  echo w >"$MAYFLY_ROOT/workspaces/work"
  instance 4712
  run /opt/mayfly/guard
  [ "$status" -ne 0 ]
  /opt/mayfly/guard --boot
  for gone in etc/mayfly/secrets etc/mayfly/vm.json var/lib/mayfly var/lib/mayfly-door var/lib/docker/containers/abc; do
    [ ! -e "$MAYFLY_ROOT/$gone" ]
  done
  [ -e "$MAYFLY_ROOT/workspaces/work" ]
}

@test "a clone keeps the identity that its own user data brought" {
  instance 4711
  vm_json aaaa
  /opt/mayfly/guard --adopt
  instance 4712
  vm_json bbbb
  /opt/mayfly/guard --boot
  grep -q bbbb "$MAYFLY_ROOT/etc/mayfly/vm.json"
}

@test "a boot without metadata service is no new instance, on the same board" {
  instance 4711 board
  vm_json aaaa
  /opt/mayfly/guard --adopt
  instance iid-datasource-none board
  /opt/mayfly/guard
  /opt/mayfly/guard --boot
  [ -e "$MAYFLY_ROOT/etc/mayfly/vm.json" ]
  instance iid-datasource-none another-board
  run /opt/mayfly/guard
  [ "$status" -ne 0 ]
}

@test "no copy of the user data stays" {
  instance 4711
  vm_json aaaa
  /opt/mayfly/guard --adopt
  for name in user-data.txt user-data.txt.i cloud-config.txt obj.pkl; do
    echo secret-aaaa >"$MAYFLY_ROOT/var/lib/cloud/instances/4711/$name"
  done
  mkdir -p "$MAYFLY_ROOT/var/lib/cloud/seed/nocloud"
  echo secret-aaaa >"$MAYFLY_ROOT/var/lib/cloud/seed/nocloud/user-data"
  echo secret-aaaa >"$MAYFLY_ROOT/run/cloud-init/combined-cloud-config.json"
  /opt/mayfly/guard --boot
  run grep -rl secret-aaaa "$MAYFLY_ROOT/var" "$MAYFLY_ROOT/run"
  [ -z "$output" ]
}

@test "a step's own word comes before its status, and a full disk before both" {
  . /opt/mayfly/workspace/boot
  [ "$(code_of 1 clone_failed clone)" = clone_failed ]
  [ "$(code_of 124 clone_failed clone)" = timeout ]
  [ "$(code_of 137 clone_failed clone)" = timeout ]
  mkdir -p "$RUN/reasons"
  REASON_FILE=$RUN/reasons/clone because auth_failed
  [ "$(code_of 124 clone_failed clone)" = auth_failed ]
  stub df <<<'printf "Avail\n1024\n"'
  [ "$(code_of 1 clone_failed clone)" = no_space ]
}

@test "steps side by side each have a reason of their own, and none from an earlier boot" {
  . /opt/mayfly/workspace/boot
  eval "$(declare -f run | sed '1s/^run /run_boot /')"
  mkdir -p "$RUN/reasons"
  echo timeout >"$RUN/reasons/clone"
  # Both are to fail; what is looked at is the reason that each leaves.
  run_boot caddy 5 bash -c '. /opt/mayfly/workspace/lib.sh; because download_failed; exit 1' >/dev/null || true
  run_boot clone 5 false >/dev/null || true
  [ "$(code_of 1 internal caddy)" = download_failed ]
  [ "$(code_of 1 clone_failed clone)" = clone_failed ]
}

@test "a step is stopped when its time is up, and its log is kept" {
  . /opt/mayfly/workspace/boot
  status=0
  run_step() { run_boot slow 1 sh -c 'echo began; sleep 30'; }
  eval "$(declare -f run | sed '1s/^run /run_boot /')"
  run_step >/dev/null || status=$?
  [ "$status" -eq 124 ]
  [ "$(cat "$LOG/slow.log")" = began ]
  [ "$(cat "$RUN/took/slow")" -le 3 ]
}

@test "a failure is reported with its phase, its code and its log, and the terminal still starts" {
  stub python3 <<<':'
  stub systemctl <<<':'
  run bash -c '. /opt/mayfly/workspace/boot; mkdir -p "$RUN/reasons"; echo auth_failed >"$RUN/reasons/clone"; fail clone 128 clone_failed clone'
  [ "$status" -eq 1 ]
  [[ $(calls python3) == *"worker.py progress failed --at clone --code auth_failed --log $MAYFLY_ROOT/var/log/mayfly/clone.log" ]]
  [ "$(calls systemctl)" = "start mayfly-terminal.service" ]
}

@test "a boot script that dies says so" {
  stub python3 <<<':'
  run bash -c '. /opt/mayfly/workspace/boot; PHASE=ui; trap last_word EXIT; exit 5'
  [[ $(calls python3) == *"progress failed --at ui --code internal"* ]]
}

@test "a download with another checksum is refused and not kept" {
  . /opt/mayfly/workspace/lib.sh
  stub curl <<<'while [ $# -gt 1 ]; do case $1 in -o) printf tampered >"$2" ;; esac; shift; done'
  run fetch https://x.example/f sha256 "$(printf genuine | sha256sum | cut -d' ' -f1)" "$BATS_TEST_TMPDIR/f"
  [ "$status" -ne 0 ]
  [ ! -e "$BATS_TEST_TMPDIR/f" ] && [ ! -e "$BATS_TEST_TMPDIR/f.part" ]
  [ "$(cat "$RUN/reason")" = download_failed ]
  fetch https://x.example/f sha256 "$(printf tampered | sha256sum | cut -d' ' -f1)" "$BATS_TEST_TMPDIR/f"
  [ "$(cat "$BATS_TEST_TMPDIR/f")" = tampered ]
  [[ $(calls curl) == *"--proto =https"* ]]
}

# The devcontainer step with `up` and `allowed` as the test says.
devcontainer_step() {
  mkdir -p "$MAYFLY_ROOT/workspaces/repo"
  stub docker <<<':'
  cat >"$BATS_TEST_TMPDIR/step" <<SCRIPT
. /opt/mayfly/workspace/devcontainer
up() { echo "up \$2 \$3" >>"$BATS_TEST_TMPDIR/ups"; case \$2 in --config) return $1 ;; *) return $2 ;; esac; }
record() { :; }
equip() { :; }
$3
main
SCRIPT
  # Without errexit's exemption for a failing test command: as the boot runs it.
  bash "$BATS_TEST_TMPDIR/step"
}

@test "a repository without a devcontainer gets the default" {
  devcontainer_step 0 0
  [[ $(cat "$BATS_TEST_TMPDIR/ups") == "up --override-config "* ]]
  [ ! -e "$MAYFLY_ROOT/run/mayfly/reason" ]
  grep -q '"image"' "$MAYFLY_ROOT/var/lib/mayfly/default-devcontainer.json"
}

@test "a repository's own devcontainer is used" {
  mkdir -p "$MAYFLY_ROOT/workspaces/repo" && echo '{}' >"$MAYFLY_ROOT/workspaces/repo/.devcontainer.json"
  devcontainer_step 0 0
  [ "$(cat "$BATS_TEST_TMPDIR/ups")" = "up --config $MAYFLY_ROOT/workspaces/repo/.devcontainer.json" ]
  [ "$(cat "$MAYFLY_ROOT/var/lib/mayfly/devcontainer")" = own ]
}

@test "one that cannot be built falls back, says so, and a reboot does not try it again" {
  mkdir -p "$MAYFLY_ROOT/workspaces/repo" && echo '{}' >"$MAYFLY_ROOT/workspaces/repo/.devcontainer.json"
  devcontainer_step 1 0
  [ "$(cat "$MAYFLY_ROOT/run/mayfly/reason")" = fallback ]
  [ "$(wc -l <"$BATS_TEST_TMPDIR/ups")" -eq 2 ]
  devcontainer_step 0 0
  [ "$(wc -l <"$BATS_TEST_TMPDIR/ups")" -eq 3 ]
}

@test "when the default fails too the phase fails" {
  run devcontainer_step 1 1
  [ "$status" -ne 0 ]
  [ "$(cat "$MAYFLY_ROOT/run/mayfly/reason")" = build_failed ]
}

@test "reaching for the host matters only beside a provider's credential" {
  mkdir -p "$MAYFLY_ROOT/workspaces/repo" && echo '{"initializeCommand": "id"}' >"$MAYFLY_ROOT/workspaces/repo/.devcontainer.json"
  devcontainer_step 0 0
  [ "$(cat "$MAYFLY_ROOT/var/lib/mayfly/devcontainer")" = own ]
  echo credential >"$MAYFLY_ROOT/etc/mayfly/secrets/provider_credential"
  devcontainer_step 0 0
  [ "$(cat "$MAYFLY_ROOT/var/lib/mayfly/devcontainer")" = default ]
  rm "$MAYFLY_ROOT/var/lib/mayfly/devcontainer"
  printf true >"$MAYFLY_ROOT/etc/mayfly/values/trust_repo"
  devcontainer_step 0 0
  [ "$(cat "$MAYFLY_ROOT/var/lib/mayfly/devcontainer")" = own ]
}

@test "a harmless config whose built image asks for privileges falls back beside a credential" {
  mkdir -p "$MAYFLY_ROOT/workspaces/repo" && echo '{"image": "x"}' >"$MAYFLY_ROOT/workspaces/repo/.devcontainer.json"
  echo credential >"$MAYFLY_ROOT/etc/mayfly/secrets/provider_credential"
  mkdir -p "$MAYFLY_ROOT/workspaces/repo"
  stub docker <<<'case $1 in image) echo "[{\"privileged\": true}]" ;; esac'
  cat >"$BATS_TEST_TMPDIR/step" <<SCRIPT
. /opt/mayfly/workspace/devcontainer
up() { :; }; record() { :; }; equip() { :; }; cli() { :; }
main
SCRIPT
  bash "$BATS_TEST_TMPDIR/step"
  [ "$(cat "$MAYFLY_ROOT/var/lib/mayfly/devcontainer")" = default ]
}
