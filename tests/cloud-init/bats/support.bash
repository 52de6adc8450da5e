# What the bats files share: a VM's files below a temporary root, and commands that stand in for real ones.
setup_vm() {
  export MAYFLY_ROOT=$BATS_TEST_TMPDIR/root MAYFLY_HERE=/opt/mayfly/workspace MAYFLY_TOP=/opt/mayfly MAYFLY_SOURCED=1
  export PATH=$BATS_TEST_TMPDIR/bin:$PATH
  mkdir -p "$BATS_TEST_TMPDIR/bin" "$MAYFLY_ROOT"/{etc/mayfly/values,etc/mayfly/secrets,run/mayfly/git,run/mayfly/seconds,run/mayfly/took} \
    "$MAYFLY_ROOT"/{var/lib/mayfly,var/log/mayfly,workspaces,home/dev}
  printf repo >"$MAYFLY_ROOT/etc/mayfly/values/repo_name"
  printf git.example >"$MAYFLY_ROOT/etc/mayfly/values/repo_host"
  printf https://git.example/o/repo >"$MAYFLY_ROOT/etc/mayfly/values/repo_url"
}

# stub NAME <<'SCRIPT': a command on PATH; what it was called with goes to $BATS_TEST_TMPDIR/NAME.calls.
stub() {
  {
    printf '#!/bin/bash\nprintf "%%s\\n" "$*" >>"%s.calls"\n' "$BATS_TEST_TMPDIR/$1"
    cat
  } >"$BATS_TEST_TMPDIR/bin/$1"
  chmod +x "$BATS_TEST_TMPDIR/bin/$1"
}

calls() {
  cat "$BATS_TEST_TMPDIR/$1.calls" 2>/dev/null || :
}
