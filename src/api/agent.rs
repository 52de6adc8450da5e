//! The agent's questions to its model: a capability comes in, the Worker's own key goes out, and the answer streams back.
//! The Worker keeps within its budgets and knows nothing of what is said. What may pass is `agent`'s to say.
//!
//! Who asks here is Claude Code: every refusal has the shape of the API's own errors (`Problem::into_agent_reply`).

use serde::Serialize;

use super::auth::{Authorized, VmIdentity};
use super::{Ctx, Problem};
use crate::agent::{self, Account, Ask, REQUEST_MAX_BYTES, Record, Through};
use crate::bucket::{Bucket, BucketError};
use crate::config::{AgentConfig, AgentCredential, Budgets};
use crate::http::{Caller, Host, Method, NoAnswer, Reply};
use crate::keys::{Claims, Scope};
use crate::model::Vm;
use crate::relay::Onward;

/// Where the agent's API is, from the Worker's address on.
pub(super) const PLACE: &str = "/vm/anthropic/";
/// How long a capability lives, seconds: what an agent can still do when its VM is gone. VMs renew theirs every ten minutes.
pub(super) const LIFE_SECS: u64 = 1800;
/// Of an environment that has one of these, its owner has chosen another way to the model.
const CHOSEN_ELSEWHERE: [&str; 4] =
    ["ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"];
const DAY_SECS: u64 = 86_400;

/// What lets an agent ask.
pub(super) struct Grant {
    pub(super) token: String,
    pub(super) expires: u64,
    pub(super) base_url: String,
}

/// A capability for the agent of a VM, where it asks through the Worker.
pub(super) fn grant<H>(ctx: &Ctx<'_, H>, claims: &Claims, vm: &Vm<'_>) -> Option<Grant> {
    let config = &ctx.ready.config;
    config.agent.as_ref().filter(|_| !vm.labels.golden && !vm.labels.owner.is_empty())?;
    let expires = ctx.now_secs + LIFE_SECS;
    let owner = vm.labels.owner.to_string();
    let expires_secs = Some(expires);
    let claims =
        Claims { scope: Scope::Agent, expires_secs, owner, workspace: String::new(), ..claims.clone() };
    let base_url = format!("{}{}", ctx.ready.public_url(ctx.head.origin), PLACE.trim_end_matches('/'));
    Some(Grant { token: config.keys.signer().sign(&claims), expires, base_url })
}

/// Whether an environment leaves the way to the model to us.
pub(super) fn is_ours<'e>(mut names: impl Iterator<Item = &'e String>) -> bool {
    !names.any(|it| CHOSEN_ELSEWHERE.contains(&it.as_str()))
}

/// `GET` and `POST /vm/anthropic/*`.
pub(super) async fn pass<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &VmIdentity<'_>,
    path: &str,
    caller: &mut impl Caller,
) -> Result<Reply, Problem> {
    let config = &ctx.ready.config;
    let Some(agent) = &config.agent else {
        return refuse(404, "agent_proxy_off", "This Worker asks no model: AGENT_PROXY is not on.");
    };
    let Some(ask) = Ask::parse(path) else {
        return refuse(404, "not_found", "Of the API only /v1/messages and /v1/models are here.");
    };
    if Method::parse(ctx.head.method) != Some(ask.method()) {
        return Err(Problem::method_not_allowed(ask.method().as_str().to_owned()));
    }
    if !agent::is_query(ctx.head.query) {
        return refuse(400, "invalid_request", "The query has a parameter that is not passed on.");
    }
    let length = (ctx.head.header)("content-length").and_then(|it| it.parse::<u64>().ok());
    if length.is_some_and(|it| it > REQUEST_MAX_BYTES) {
        return refuse(413, "body_too_long", "The request is longer than 32 MB.");
    }
    let Claims { owner, vm, .. } = who.claims();
    if owner.is_empty() {
        return refuse(403, "wrong_scope", "The capability does not say in whose name it asks.");
    }
    let is_counted = ask == Ask::Messages && caller.is_bound();
    if ask == Ask::Messages {
        check_budgets(ctx, agent.budgets, owner, vm, caller).await?;
    }
    let onward = Onward {
        method: ask.method(),
        url: url(agent, path, ctx.head.query),
        headers: headers(ctx, &agent.credential),
        timeout_ms: agent.timeout_secs * 1000,
        passes_back: agent::passes_back,
        record: is_counted.then(|| Record::new(&config.deployment, owner, vm)),
    };
    match caller.relay(onward).await {
        Ok(401) => refuse(502, "agent_key_refused", "The model's API refuses the Worker's key."),
        Ok(300..=399) => refuse(502, "agent_upstream_moved", "The model's API is at another address."),
        Ok(status) => Ok(Reply { status, headers: Vec::new(), body: Vec::new() }),
        Err(NoAnswer::TimedOut) => {
            let why = format!("The model's API did not begin to answer within {} s.", agent.timeout_secs);
            refuse(504, "agent_timed_out", why)
        }
        Err(_) => refuse(502, "agent_unreachable", "The model's API cannot be reached."),
    }
}

fn refuse<T>(status: u16, code: &'static str, detail: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::new(status, code, detail))
}

fn url(agent: &AgentConfig, path: &str, query: &str) -> String {
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{}/{path}{mark}{query}", agent.upstream_url)
}

/// The caller's that pass, and who asks.
fn headers<H>(ctx: &Ctx<'_, H>, credential: &AgentCredential) -> Vec<(&'static str, String)> {
    let given = agent::PASSED.into_iter().filter_map(|name| Some((name, (ctx.head.header)(name)?)));
    let mut headers: Vec<(&'static str, String)> = given.collect();
    // The answer is read on its way through.
    headers.push(("accept-encoding", "identity".to_owned()));
    match credential {
        AgentCredential::ApiKey(key) => headers.push(("x-api-key", key.expose().to_owned())),
        AgentCredential::OauthToken(token) => {
            let at = headers.iter().position(|(name, _)| *name == "anthropic-beta");
            let betas = at.map(|at| headers.remove(at).1);
            headers.push(("anthropic-beta", agent::with_oauth_beta(betas.as_deref())));
            headers.push(("authorization", format!("Bearer {}", token.expose())));
        }
    }
    headers
}

/// What is under way is not known yet: a budget may be passed by the answers that are, and no further.
async fn check_budgets<H: Host>(
    ctx: &Ctx<'_, H>,
    budgets: Budgets,
    owner: &str,
    vm: &str,
    bucket: &impl Bucket,
) -> Result<(), Problem> {
    let Budgets { vm_tokens, owner_daily_tokens } = budgets;
    let one = match (vm_tokens, owner_daily_tokens) {
        (None, None) => return Ok(()),
        (Some(_), None) => Some(vm),
        _ => None,
    };
    if !bucket.is_bound() {
        return refuse(503, "bucket_failed", "The budget cannot be read: there is no bucket.");
    }
    let deployment = &ctx.ready.config.deployment;
    let ledger = Through(bucket);
    let accounts = agent::read(&ledger, deployment, owner, one, ctx.now_secs);
    let accounts = accounts.await.map_err(|it| unreadable(ctx, it))?;
    let spent = |limit: u64, key: &str, whose: &str, until: &str| {
        format!("{whose} {limit} tokens ({key}) are used up{until}.")
    };
    let life = accounts.get(vm).map_or(0, |it| it.life.tenths());
    if let Some(limit) = vm_tokens.filter(|it| life >= it.saturating_mul(10)) {
        let why = spent(limit, "AGENT_BUDGET_VM_TOKENS", "This workspace's", ": a new one has its own");
        return refuse(429, "agent_budget_spent", why);
    }
    let today = accounts.values().fold(0_u64, |sum, it| sum.saturating_add(it.today_tenths));
    if let Some(limit) = owner_daily_tokens.filter(|it| today >= it.saturating_mul(10)) {
        let why = spent(limit, "AGENT_BUDGET_OWNER_DAILY_TOKENS", "Today's", " until midnight UTC");
        let left = u32::try_from(DAY_SECS - ctx.now_secs % DAY_SECS).unwrap_or_default();
        return refuse(429, "agent_budget_spent", why).map_err(|it: Problem| it.with_retry_after(left));
    }
    Ok(())
}

fn unreadable<H: Host>(ctx: &Ctx<'_, H>, error: BucketError) -> Problem {
    super::backup::failed(ctx, error).and("The budget cannot be read.")
}

/// What agents have used, in answers.
#[derive(Serialize)]
pub(super) struct Used {
    input_tokens: u64,
    output_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    /// As they count against a budget.
    tokens: u64,
    tokens_today: u64,
    budget: Option<u64>,
}

/// What the agent of a VM has used; `None` where nobody counts.
pub(super) async fn used<H: Host>(ctx: &Ctx<'_, H>, vm: &Vm<'_>, bucket: &impl Bucket) -> Option<Used> {
    let agent = ctx.ready.config.agent.as_ref().filter(|_| bucket.is_bound())?;
    let (ledger, config) = (Through(bucket), &ctx.ready.config);
    let id: &str = &vm.labels.vm;
    // Its owner's account: an admin looks at others' VMs, too.
    let accounts = agent::read(&ledger, &config.deployment, &vm.labels.owner, Some(id), ctx.now_secs).await;
    // A VM is shown even where its figures cannot be.
    let Account { life, today_tenths } = accounts.ok()?.get(id).copied().unwrap_or_default();
    Some(Used {
        input_tokens: life.input,
        output_tokens: life.output,
        cache_creation_input_tokens: life.cache_write,
        cache_read_input_tokens: life.cache_read,
        tokens: life.tenths() / 10,
        tokens_today: today_tenths / 10,
        budget: agent.budgets.vm_tokens,
    })
}

/// What an owner's agents have used today, as it counts against a budget, and the budget; `None` where nobody counts.
pub(super) async fn used_today<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    bucket: &impl Bucket,
) -> Option<(u64, Option<u64>)> {
    let agent = ctx.ready.config.agent.as_ref().filter(|_| bucket.is_bound())?;
    let (ledger, config) = (Through(bucket), &ctx.ready.config);
    let accounts = agent::read(&ledger, &config.deployment, who.owner(), None, ctx.now_secs).await.ok()?;
    let tenths = accounts.values().fold(0_u64, |sum, it| sum.saturating_add(it.today_tenths));
    Some((tenths / 10, agent.budgets.owner_daily_tokens))
}
