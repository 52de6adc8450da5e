//! The API: one request in, one answer out. This file is the frame around every request; the routes are in `route`,
//! what they do in the modules of their resources.

mod agent;
mod auth;
mod backup;
mod ceilings;
mod cleanup;
mod create;
mod cut_off;
mod golden;
mod health;

mod lifecycle;
mod log;
mod options;
mod placement;
mod problem;
mod restore;
mod route;
mod seal;
mod snapshots;
mod store;
mod token;
mod vm_side;
mod vms;
mod wire;
mod workspaces;

use std::fmt::Write as _;
use std::pin::Pin;

pub(crate) use golden::is_golden;
pub use problem::Problem;
pub use route::{Access, ROUTES, Route, Row};
pub(crate) use snapshots::{go_on, of_request};

use crate::config::Config;
use crate::http::{Body, BodyError, Caller, Counted, Head, Host, Log, Method, Reply};
use crate::{App, Ready};

/// Largest body that a route reads, bytes. The largest honest one is a create request with its environment.
pub const BODY_MAX_BYTES: usize = 64 * 1024;
/// The OpenAPI document of every route.
const OPENAPI: &str = include_str!("api/openapi.json");

/// One request on its way: what every handler may need.
struct Ctx<'a, H> {
    ready: &'a Ready,
    host: &'a Counted<'a, H>,
    head: Head<'a>,
    now_secs: u64,
}

/// Answers one request.
pub async fn handle(app: &App, host: &impl Host, head: Head<'_>, body: &mut impl Caller) -> Reply {
    let request_id = request_id(host, &head);
    let told = |problem: Problem| {
        let is_agents = head.path.starts_with(agent::PLACE);
        if is_agents { problem.into_agent_reply(&request_id) } else { problem.into_reply(&request_id) }
    };
    let (reply, config) = match app.ready() {
        Err(problems) => (told(Problem::misconfigured(problems)), None),
        Ok(ready) => {
            let began = host.now_ms();
            let counted = &Counted::new(host);
            let ctx = Ctx { ready, host: counted, head, now_secs: began / 1000 };
            let reply = match answer(&ctx, body).await {
                Ok(reply) => reply,
                Err(problem) => {
                    problem.log(host, &request_id, &head);
                    told(problem)
                }
            };
            log_request(
                host,
                &request_id,
                &head,
                reply.status,
                host.now_ms().saturating_sub(began),
                counted.sent(),
            );
            (reply, Some(&ready.config))
        }
    };
    finish(reply, request_id, &head, config)
}

/// One line per request; never its body, query or id, nor a path that is none of ours.
fn log_request(
    log: &impl Log,
    request_id: &str,
    head: &Head<'_>,
    status: u16,
    duration_ms: u64,
    subrequests: u32,
) {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        event: &'static str,
        request_id: &'a str,
        method: &'a str,
        route: &'a str,
        status: u16,
        duration_ms: u64,
        subrequests: u32,
    }
    let route = route::resolve(head.method, head.path).map_or("none", |(row, _)| row.path);
    // Anybody may send any word.
    let other = if head.method == "OPTIONS" { "OPTIONS" } else { "other" };
    let method = Method::parse(head.method).map_or(other, Method::as_str);
    let line = Line { event: "request", request_id, method, route, status, duration_ms, subrequests };
    log.log(&serde_json::to_string(&line).unwrap_or_default());
}

/// A handler at work. Boxed, so that each is code and memory of its own, compiled and taken when it is called for: in one
/// piece they make every request carry the largest.
type Handling<'a> = Pin<Box<dyn Future<Output = Result<Reply, Problem>> + 'a>>;

async fn answer<H: Host>(ctx: &Ctx<'_, H>, body: &mut impl Caller) -> Result<Reply, Problem> {
    if ctx.head.method == "OPTIONS" && (ctx.head.header)("access-control-request-method").is_some() {
        return route::preflight(ctx.head.path);
    }
    let (row, id) = route::resolve(ctx.head.method, ctx.head.path)?;
    match row.access {
        Access::Public => match row.route {
            Route::Healthz => Ok(healthz(ctx.ready)),
            Route::Openapi => Ok(wire::reply(200, OPENAPI.as_bytes().to_vec())),
            _ => Err(Problem::no_such_path()),
        },
        Access::Token => {
            let who = auth::authorize(ctx).await?;
            let handling: Handling<'_> = match row.route {
                Route::Options => Box::pin(options::options(ctx, &who, body)),
                Route::ProviderHealth => Box::pin(health::providers(ctx, &who)),
                Route::Metrics => Box::pin(health::metrics(ctx, &who, body)),
                Route::ListVms => Box::pin(vms::list(ctx, &who)),
                Route::CreateVm => Box::pin(create::create(ctx, &who, body)),
                Route::GetVm => Box::pin(vms::get(ctx, &who, id, body)),
                Route::DeleteVm => Box::pin(vms::delete(ctx, &who, id)),
                Route::StartVm => Box::pin(lifecycle::start(ctx, &who, id)),
                Route::StopVm => Box::pin(lifecycle::stop(ctx, &who, id)),
                Route::ExtendVm => Box::pin(lifecycle::extend(ctx, &who, id, body)),
                Route::SnapshotVm => Box::pin(snapshots::take(ctx, &who, id, body)),
                Route::ListSnapshots => Box::pin(snapshots::list(ctx, &who)),
                Route::GoldenSnapshot => Box::pin(golden::bake(ctx, &who, body)),
                Route::DeleteSnapshot => Box::pin(snapshots::delete(ctx, &who, id)),
                Route::OpenVm => Box::pin(vms::open(ctx, &who, id)),
                Route::VmLog => Box::pin(log::show(ctx, &who, id, body)),
                Route::DeleteAllVms => Box::pin(cleanup::everything(ctx, &who)),
                Route::ListOrphans => Box::pin(cleanup::orphans(ctx, &who, body)),
                Route::DeleteOrphans => Box::pin(cleanup::delete_orphans(ctx, &who, body)),
                Route::UserData => Box::pin(create::dry_run(ctx, &who, body)),
                Route::ListWorkspaces => Box::pin(workspaces::list(ctx, &who, body)),
                Route::DeleteWorkspace => Box::pin(workspaces::delete(ctx, &who, id, body)),
                Route::Seal => Box::pin(seal::seal(ctx, &who, body)),
                Route::Reap => Box::pin(vms::reap(ctx, &who, body)),
                _ => return Err(Problem::no_such_path()),
            };
            handling.await
        }
        Access::Capability(scopes) => {
            let vm = auth::identify(ctx.ready, &ctx.head, scopes, ctx.now_secs)?;
            let handling: Handling<'_> = match row.route {
                Route::VmBoot => Box::pin(vm_side::boot(ctx, &vm, body)),
                Route::VmProgress => Box::pin(vm_side::progress(ctx, &vm, body)),
                Route::VmHeartbeat => Box::pin(vm_side::heartbeat(ctx, &vm, body)),
                Route::VmLogWrite => Box::pin(log::keep(ctx, &vm, body)),
                Route::VmToken => Box::pin(token::issue(ctx, &vm, body)),
                Route::VmDelete => Box::pin(vm_side::delete(ctx, &vm)),
                Route::VmBackup => Box::pin(backup::read(ctx, &vm, id, body)),
                Route::VmBackupWrite => Box::pin(backup::write(ctx, &vm, id, body)),
                Route::VmBackupDelete => Box::pin(backup::delete(ctx, &vm, id, body)),
                Route::VmAnthropic => Box::pin(agent::pass(ctx, &vm, id, body)),
                _ => return Err(Problem::no_such_path()),
            };
            handling.await
        }
    }
}

fn healthz(ready: &Ready) -> Reply {
    let body = format!(
        r#"{{"status":"ok","version":"{}","simulation":{},"access":{}}}"#,
        crate::VERSION,
        ready.config.simulation,
        ready.config.access.is_some()
    );
    wire::reply(200, body.into_bytes())
}

/// Reads a body up to [`BODY_MAX_BYTES`].
async fn read_body(body: &mut impl Body) -> Result<Vec<u8>, Problem> {
    body.read(BODY_MAX_BYTES).await.map_err(|error| match error {
        BodyError::TooLong => {
            Problem::new(413, "body_too_long", format!("The body is longer than {BODY_MAX_BYTES} bytes."))
        }
        BodyError::Broken => Problem::new(400, "body_broken", "The body did not arrive whole."),
    })
}

/// Cloudflare's ray id, so that its logs and ours tell of the same request; else 64 random bits.
fn request_id(host: &impl Host, head: &Head<'_>) -> String {
    if let Some(ray) = (head.header)("cf-ray").filter(|it| {
        (1..=40).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
    }) {
        return ray;
    }
    let mut bytes = [0; 8];
    host.fill(&mut bytes);
    let mut id = String::with_capacity(16);
    for byte in bytes {
        let _ = write!(id, "{byte:02x}");
    }
    id
}

/// What every answer carries, and CORS for the page's origins.
fn finish(mut reply: Reply, request_id: String, head: &Head<'_>, config: Option<&Config>) -> Reply {
    reply.headers.push(("x-request-id", request_id));
    reply.headers.push(("cache-control", "no-store".into()));
    reply.headers.push(("x-content-type-options", "nosniff".into()));
    let Some(config) = config.filter(|it| !it.allowed_origins.is_empty()) else { return reply };
    reply.headers.push(("vary", "origin".into()));
    if let Some(origin) = (head.header)("origin").filter(|it| is_allowed(&config.allowed_origins, it)) {
        reply.headers.push(("access-control-allow-origin", origin));
        if config.access.is_some() {
            // The cookie by which Access knows whom it let in.
            reply.headers.push(("access-control-allow-credentials", "true".into()));
        }
        reply.headers.push((
            "access-control-expose-headers",
            "location, retry-after, x-request-id, idempotent-replayed".into(),
        ));
        if head.method == "OPTIONS" {
            reply.headers.push(("access-control-allow-methods", "GET, POST, PUT, PATCH, DELETE".into()));
            reply.headers.push((
                "access-control-allow-headers",
                "authorization, content-type, idempotency-key".into(),
            ));
            reply.headers.push(("access-control-max-age", "86400".into()));
        }
    }
    reply
}

/// Whether pages of an origin may call.
fn is_allowed(allowed_origins: &[String], origin: &str) -> bool {
    allowed_origins.iter().any(|it| origin_matches(it, origin))
}

/// A configured origin, or one host label in place of its `*`.
fn origin_matches(allowed: &str, origin: &str) -> bool {
    let Some((scheme, rest)) = allowed.split_once("*.") else { return allowed == origin };
    origin.strip_prefix(scheme).and_then(|it| it.split_once('.')).is_some_and(|(label, host)| {
        host == rest && !label.is_empty() && label.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_label_stands_for_a_star() {
        let allowed = "https://*.mayfly.pages.dev";
        assert!(origin_matches(allowed, "https://a1b2.mayfly.pages.dev"));
        for bad in [
            "https://mayfly.pages.dev",
            "https://a.b.mayfly.pages.dev",
            "http://a.mayfly.pages.dev",
            "https://a.mayfly.pages.dev.evil.example",
            "https://.mayfly.pages.dev",
        ] {
            assert!(!origin_matches(allowed, bad), "{bad}");
        }
        assert!(origin_matches("http://localhost:8787", "http://localhost:8787"));
    }
}
