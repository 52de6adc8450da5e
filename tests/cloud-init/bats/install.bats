#!/usr/bin/env bats
# What is installed: only what is missing, in the pinned version, with a reason when it fails. Nothing is downloaded here.
load support

setup() {
  setup_vm
  export MAYFLY_ROOT
  # One retry is as good as three, and takes no time.
  stub sleep <<<':'
  stub systemctl <<<':'
  stub git <<<':'
}

# Packages that are installed: those named in $BATS_TEST_TMPDIR/installed.
packages() {
  : >"$BATS_TEST_TMPDIR/installed"
  stub dpkg-query <<<'grep -qx "${@: -1}" "'"$BATS_TEST_TMPDIR"'/installed" && printf installed'
}

# Runs `install` with its own files elsewhere: /etc/sudoers.d and /opt are the machine's.
install_part() {
  REASON_FILE=$MAYFLY_ROOT/reason run bash -c '
    install() { printf "%s\n" "$*" >>"'"$BATS_TEST_TMPDIR"'/install.calls"; }
    set -- "$@"; . /opt/mayfly/workspace/install' install "$@"
}

@test "only what is missing is asked for, and apt waits for a lock" {
  packages
  printf 'git\ncurl\n' >"$BATS_TEST_TMPDIR/installed"
  stub apt-get <<<':'
  install_part base
  [ "$status" -eq 0 ]
  [[ $(calls apt-get) == *"DPkg::Lock::Timeout=120"* ]]
  [[ $(calls apt-get) == *"install -y --no-install-recommends nftables git-lfs ca-certificates"* ]]
  [[ $(calls apt-get) != *" git "* ]]
}

@test "with everything there apt is not called at all" {
  stub dpkg-query <<<'printf installed'
  stub apt-get <<<'exit 1'
  install_part base
  [ "$status" -eq 0 ]
  [ -z "$(calls apt-get)" ]
}

@test "a mirror that fails once is asked again" {
  packages
  stub apt-get <<<'[ -e "'"$BATS_TEST_TMPDIR"'/once" ] || { touch "'"$BATS_TEST_TMPDIR"'/once"; exit 100; }'
  install_part base
  [ "$status" -eq 0 ]
}

@test "a mirror that stays away is the reason" {
  packages
  stub apt-get <<<'exit 100'
  install_part base
  [ "$status" -ne 0 ]
  [ "$(cat "$MAYFLY_ROOT/reason")" = apt_failed ]
}

@test "an engine that does not start is the reason, not its packages" {
  stub dpkg-query <<<'printf installed'
  stub systemctl <<<'exit 1'
  stub docker <<<'exit 1'
  install_part docker
  [ "$status" -ne 0 ]
  [ "$(cat "$MAYFLY_ROOT/reason")" = docker_failed ]
}

@test "programs in the pinned version are left alone" {
  . /opt/mayfly/workspace/versions
  stub node <<<"echo v$NODE_VERSION"
  stub caddy <<<"echo v$CADDY_VERSION h1:x"
  stub curl <<<'exit 1'
  install_part node
  [ "$status" -eq 0 ]
  install_part caddy
  [ "$status" -eq 0 ]
  [ -z "$(calls curl)" ]
}

@test "another version is replaced by the pinned one, and a download that fails is the reason" {
  stub caddy <<<'echo v2.6.2'
  stub curl <<<'exit 22'
  install_part caddy
  [ "$status" -ne 0 ]
  [ "$(cat "$MAYFLY_ROOT/reason")" = download_failed ]
  . /opt/mayfly/workspace/versions
  [[ $(calls curl) == *"/v$CADDY_VERSION/caddy_${CADDY_VERSION}_linux_amd64.tar.gz"* ]]
}

@test "an unknown part or UI is refused" {
  install_part nonsense
  [ "$status" -eq 64 ]
  printf '../../etc' >"$MAYFLY_ROOT/etc/mayfly/values/web_ui"
  install_part ui
  [ "$status" -ne 0 ]
}

# npm_that_fails TIMES [WORDS]: npm as `dev` that fails as often as $BATS_TEST_TMPDIR/failures says; setpriv, so that nobody
# else is needed.
npm_that_fails() {
  echo "$1" >"$BATS_TEST_TMPDIR/failures"
  echo "${2:-npm error gyp ERR! not ok}" >"$BATS_TEST_TMPDIR/words"
  stub setpriv <<<'case "$*" in *npm\ install*) ;; *) exit 0 ;; esac
    left=$(cat "'"$BATS_TEST_TMPDIR"'/failures"); [ "$left" = 0 ] || { echo $((left - 1)) >"'"$BATS_TEST_TMPDIR"'/failures"; cat "'"$BATS_TEST_TMPDIR"'/words"; exit 1; }'
  packages
  stub apt-get <<<':'
  printf claude-code-web >"$MAYFLY_ROOT/etc/mayfly/values/web_ui"
}

@test "a UI whose modules come prebuilt needs no compiler" {
  npm_that_fails 0
  install_part ui
  [ "$status" -eq 0 ]
  [ -z "$(calls apt-get)" ]
}

@test "where prebuilt modules are not to be had they are compiled" {
  npm_that_fails 1
  install_part ui
  [ "$status" -eq 0 ]
  [[ $(calls apt-get) == *build-essential* ]]
}

@test "when that fails, too, the reason says so" {
  npm_that_fails 2
  install_part ui
  [ "$status" -ne 0 ]
  [ "$(cat "$MAYFLY_ROOT/reason")" = download_failed ]
}

@test "where nothing comes at all, no compiler is waited for" {
  npm_that_fails 1 "npm error code E503"
  install_part ui
  [ "$status" -ne 0 ]
  [ "$(cat "$MAYFLY_ROOT/reason")" = download_failed ]
  [ -z "$(calls apt-get)" ]
}
