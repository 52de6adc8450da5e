#!/usr/bin/env bats
# What stands between CUI and the Claude Code in the container: what it passes on.

says() {
  printf '#!/bin/sh\nfor it in "$@"; do printf "<%%s>" "$it"; done\n' >"$BATS_TEST_TMPDIR/claude"
  chmod +x "$BATS_TEST_TMPDIR/claude"
  MAYFLY_CLAUDE=$BATS_TEST_TMPDIR/claude /opt/mayfly/workspace/bin/claude-of-cui "$@"
}

@test "its own tool for permissions stays behind, and everything else goes on" {
  local own=(--mcp-config /tmp/x.json --permission-prompt-tool mcp__cui-permissions__approval_prompt)
  [ "$(says -p 'fix it' --output-format stream-json "${own[@]}" --allowedTools mcp__cui-permissions__approval_prompt --permission-mode plan)" = \
    '<-p><fix it><--output-format><stream-json><--permission-mode><plan>' ]
  [ "$(says -p --resume 7 'go on' --verbose "${own[@]}")" = '<-p><--resume><7><go on><--verbose>' ]
  [ "$(says --allowedTools Bash,Read)" = '<--allowedTools><Bash,Read>' ]
  [ "$(says)" = '' ]
}

@test "a prompt is a prompt, whatever it says" {
  [ "$(says -p --mcp-config --verbose)" = '<-p><--mcp-config><--verbose>' ]
}
