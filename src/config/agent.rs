//! The part of the configuration that is the agent's way to its model through the Worker: whose key, to where, how much.

use super::Reader;
use crate::bucket;
use crate::secret::Secret;

/// Base of Anthropic's API.
pub const AGENT_UPSTREAM_URL: &str = "https://api.anthropic.com";
/// Limits of `AGENT_TIMEOUT_SECONDS`. An answer that is no stream is sent when it is whole.
const TIMEOUT_SECS: std::ops::RangeInclusive<u32> = 1..=900;
/// The highest budget, tokens.
const TOKENS_MAX: u64 = 1_000_000_000_000;

/// The agent's way through the Worker.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Base URL without a slash at the end.
    pub upstream_url: String,
    /// Who asks there.
    pub credential: AgentCredential,
    /// An answer must have begun by then, seconds.
    pub timeout_secs: u32,
    /// How much may be used.
    pub budgets: Budgets,
}

/// What the Worker puts in place of a VM's capability.
#[derive(Clone, Debug)]
pub enum AgentCredential {
    /// `ANTHROPIC_API_KEY`.
    ApiKey(Secret),
    /// `CLAUDE_CODE_OAUTH_TOKEN`.
    OauthToken(Secret),
}

/// Tokens; `None` for no budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budgets {
    /// `AGENT_BUDGET_VM_TOKENS`: of a VM in its life.
    pub vm_tokens: Option<u64>,
    /// `AGENT_BUDGET_OWNER_DAILY_TOKENS`: of an owner's VMs together between midnight and midnight UTC.
    pub owner_daily_tokens: Option<u64>,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    pub(super) fn agent(&mut self) -> Option<AgentConfig> {
        let is_on = self.boolean("AGENT_PROXY");
        let upstream_url = self.upstream_url();
        let timeout_secs = self.number("AGENT_TIMEOUT_SECONDS", 600, TIMEOUT_SECS);
        let budgets = Budgets {
            vm_tokens: self.budget("AGENT_BUDGET_VM_TOKENS", is_on),
            owner_daily_tokens: self.budget("AGENT_BUDGET_OWNER_DAILY_TOKENS", is_on),
        };
        if !is_on {
            return None;
        }
        let api_key = self.token("ANTHROPIC_API_KEY").map(AgentCredential::ApiKey);
        let credential =
            api_key.or_else(|| self.token("CLAUDE_CODE_OAUTH_TOKEN").map(AgentCredential::OauthToken));
        if credential.is_none() {
            self.problem(
                "AGENT_PROXY",
                "is on, and there is no ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN to ask with",
            );
        }
        Some(AgentConfig { upstream_url, credential: credential?, timeout_secs, budgets })
    }

    /// The key travels there: over TLS, or not beyond this machine.
    fn upstream_url(&mut self) -> String {
        let Some(url) = self.url("AGENT_UPSTREAM_URL") else { return AGENT_UPSTREAM_URL.into() };
        let is_local = url.strip_prefix("http://").is_some_and(|it| {
            let authority = it.split('/').next().unwrap_or_default();
            let host = authority.rsplit_once(':').map_or(authority, |it| it.0);
            matches!(host, "127.0.0.1" | "localhost" | "[::1]")
        });
        if !is_local && !url.starts_with("https://") {
            self.problem("AGENT_UPSTREAM_URL", "must be an https URL: the key travels there");
        }
        url
    }

    fn budget(&mut self, key: &'static str, is_on: bool) -> Option<u64> {
        self.get(key)?;
        if !is_on {
            self.problem(
                key,
                "is set, and AGENT_PROXY is not on: only what goes through the Worker is counted",
            );
        }
        if self.get(bucket::BINDING).is_none() {
            self.problem(
                key,
                "needs an R2 bucket, bound as BACKUPS in wrangler.toml: what was used is kept there",
            );
        }
        Some(self.number(key, 0, 1..=TOKENS_MAX))
    }
}
