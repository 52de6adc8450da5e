//! The VMs of a caller: list, get, delete, open; and the reaper on demand. Creating one is in `create`.

use serde::Serialize;

use super::agent::{self, Used};
use super::auth::Authorized;
use super::cleanup::sweep;
use super::lifecycle;
use super::wire::{Cost, VmBody, json, money, reply, vm_origin};
use super::{Ctx, Problem};
use crate::bucket::Bucket;
use crate::http::{Host, Random as _, Reply};
use crate::keys::{LINK_LIFE_SECS, SigningKey};
use crate::labels::{EXPIRES, OWNER, Selector};
use crate::life::Action;
use crate::model::{Currency, Vm, VmId, VmState};
use crate::providers::{Error, Provider, side_by_side};
use crate::{Ready, reaper};

#[derive(Serialize)]
struct OneVm<'a> {
    vm: VmBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<Used>,
}

#[derive(Serialize)]
struct Deletion {
    deleted: bool,
    already_gone: bool,
    id: String,
}

#[derive(Serialize)]
struct Opened {
    url: String,
    expires_in_seconds: u64,
}

#[derive(Serialize)]
struct Totals<'a> {
    count: usize,
    currency: Option<&'a str>,
    price_per_hour: f64,
    cost_so_far: f64,
    cost_until_expiry: f64,
}

/// A provider that could not be asked.
#[derive(Serialize)]
pub(super) struct ProviderError {
    provider: &'static str,
    code: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u32>,
}

impl From<&Error> for ProviderError {
    fn from(error: &Error) -> Self {
        Self {
            provider: error.provider.as_str(),
            code: error.kind.code(),
            detail: format!("{}.", error.sentence()),
            retry_after_seconds: error.retry_after_secs,
        }
    }
}

/// One provider's part of the list, written while its pages arrive.
#[derive(Default)]
struct Part {
    json: Vec<u8>,
    count: usize,
    cost: Cost,
    currency: Option<Currency>,
    is_mixed: bool,
}

impl Part {
    fn take(&mut self, ready: &Ready, vm: &Vm<'_>, now_secs: u64) {
        if self.count > 0 {
            self.json.push(b',');
        }
        self.count += 1;
        VmBody::new(ready, vm, now_secs).write(&mut self.json);
        if let (Some(cost), Some(price)) = (Cost::of(vm, now_secs), vm.labels.price) {
            self.add(cost, price.currency);
        }
    }

    /// Amounts of different currencies cannot be added up.
    fn add(&mut self, cost: Cost, currency: Currency) {
        if *self.currency.get_or_insert(currency) == currency {
            // Prices are labels, which anybody with access to the account can write.
            self.cost.per_hour = self.cost.per_hour.saturating_add(cost.per_hour);
            self.cost.so_far = self.cost.so_far.saturating_add(cost.so_far);
            self.cost.until_expiry = self.cost.until_expiry.saturating_add(cost.until_expiry);
        } else {
            self.is_mixed = true;
        }
    }
}

/// `GET /vms`: all providers side by side; one that fails is reported beside the others' VMs.
pub(super) async fn list<H: Host>(ctx: &Ctx<'_, H>, who: &Authorized<'_>) -> Result<Reply, Problem> {
    let selector = visible(ctx.ready, who);
    let parts =
        side_by_side(ctx.ready.providers.iter().map(|provider| list_one(ctx, provider, &selector, who)))
            .await;
    let mut body = br#"{"vms":["#.to_vec();
    let mut errors: Vec<ProviderError> = Vec::new();
    let mut sum = Part::default();
    for (part, error) in &parts {
        if !part.json.is_empty() {
            if sum.count > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&part.json);
        }
        sum.count += part.count;
        if let Some(currency) = part.currency {
            sum.add(part.cost, currency);
        }
        sum.is_mixed |= part.is_mixed;
        errors.extend(error.iter().map(ProviderError::from));
    }
    if sum.is_mixed {
        // Each VM says what it costs in its own currency; one sum of them there is not.
        (sum.cost, sum.currency) = (Cost::default(), None);
    }
    let totals = Totals {
        count: sum.count,
        currency: sum.currency.as_ref().map(Currency::as_str),
        price_per_hour: money(sum.cost.per_hour),
        cost_so_far: money(sum.cost.so_far),
        cost_until_expiry: money(sum.cost.until_expiry),
    };
    body.extend_from_slice(br#"],"errors":"#);
    let _ = serde_json::to_writer(&mut body, &errors);
    body.extend_from_slice(br#","totals":"#);
    let _ = serde_json::to_writer(&mut body, &totals);
    body.push(b'}');
    Ok(reply(200, body))
}

async fn list_one<H: Host>(
    ctx: &Ctx<'_, H>,
    provider: &Provider,
    selector: &Selector,
    who: &Authorized<'_>,
) -> (Part, Option<Error>) {
    let mut part = Part::default();
    let answer = provider.for_each(ctx.host, selector, |vm| {
        // The provider was asked for ours alone; what it sends beside is not shown.
        if vm.labels.belongs_to(&ctx.ready.config.deployment) && who.sees(&vm.labels.owner) {
            part.take(ctx.ready, vm, ctx.now_secs);
        }
    });
    let error = answer.await.err();
    (part, error)
}

/// `GET /vms/{id}`: with what its agent has used, where that is counted.
pub(super) async fn get<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    id: &str,
    bucket: &impl Bucket,
) -> Result<Reply, Problem> {
    let (_, vm) = find(ctx, who, id).await?.ok_or_else(Problem::vm_not_found)?;
    let agent = agent::used(ctx, &vm, bucket).await;
    Ok(json(200, &OneVm { vm: VmBody::new(ctx.ready, &vm, ctx.now_secs), agent }))
}

/// `DELETE /vms/{id}`: success means that the provider accepted the deletion, or has no such server.
pub(super) async fn delete<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    id: &str,
) -> Result<Reply, Problem> {
    let Some((provider, vm)) = find(ctx, who, id).await? else {
        // A server of ours that is gone leaves no trace to tell it by; what is another's answers 404 in `find`.
        let _ = parse_id(ctx.ready, id)?;
        return Ok(json(200, &Deletion { deleted: true, already_gone: true, id: id.to_owned() }));
    };
    end(ctx, provider, &vm, "asked").await?;
    Ok(json(200, &Deletion { deleted: true, already_gone: false, id: id.to_owned() }))
}

/// Deletes a VM. Where the provider refuses for now, the VM's expiry is set to this moment, so that the reaper goes on
/// trying when the caller has long gone; the caller is told of the refusal all the same.
pub(super) async fn end<H: Host>(
    ctx: &Ctx<'_, H>,
    provider: &Provider,
    vm: &Vm<'_>,
    why: &str,
) -> Result<(), Problem> {
    if vm.state == VmState::Deleting {
        return Ok(());
    }
    let Err(error) = provider.delete(ctx.host, &vm.id.native).await else {
        reaper::log_event(ctx.host, "deleted", vm, why);
        return Ok(());
    };
    reaper::log_event(ctx.host, "delete_failed", vm, error.kind.code());
    let expired = [(EXPIRES, Some(ctx.now_secs.to_string()))];
    match lifecycle::write(ctx, provider, &vm.id.native, &expired).await {
        Ok(_) => Err(Problem::from(error).and("The VM is marked as expired: the Worker's cron tries again.")),
        Err(it) if it.status() == 404 => Ok(()),
        Err(_) => Err(error.into()),
    }
}

/// `POST /vms/{id}/open`: a link that signs the browser in at the VM, once.
pub(super) async fn open<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    id: &str,
) -> Result<Reply, Problem> {
    let (_, vm) = find(ctx, who, id).await?.ok_or_else(Problem::vm_not_found)?;
    if vm.labels.golden {
        lifecycle::check(Action::Open, &vm)?;
    }
    let origin = vm_origin(ctx.ready, &vm).ok_or_else(|| {
        Problem::new(409, "no_address_yet", "The VM has no address yet; try again in a few seconds.")
            .with_retry_after(5)
    })?;
    let mut nonce = [0; 16];
    ctx.host.fill(&mut nonce);
    let token = key_of(ctx.ready, &vm).link(&vm.labels.vm, ctx.now_secs, nonce);
    Ok(json(200, &Opened { url: format!("{origin}/_mayfly/in#{token}"), expires_in_seconds: LINK_LIFE_SECS }))
}

/// `POST /reap`: the reaper now; with `dry_run` it only says what it would do.
pub(super) async fn reap<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    bucket: &impl Bucket,
) -> Result<Reply, Problem> {
    let dry_run = match ctx.head.query.split('&').find_map(|it| it.strip_prefix("dry_run")) {
        None | Some("=0" | "=false") => false,
        Some("" | "=" | "=1" | "=true") => true,
        // A typing error must not delete anything.
        Some(_) => return Err(Problem::invalid_field("dry_run", "must be 1 or 0")),
    };
    Ok(json(200, &sweep(ctx, who, dry_run, bucket).await))
}

/// The key from which a VM's password and link key derive: the one that was first when it was created.
pub(super) fn key_of<'a>(ready: &'a Ready, vm: &Vm<'_>) -> &'a SigningKey {
    ready.config.keys.find(&vm.labels.key_id).unwrap_or_else(|| ready.config.keys.signer())
}

/// The selector of what a caller has made.
pub(super) fn mine(ready: &Ready, who: &Authorized<'_>) -> Selector {
    Selector::deployment(&ready.config.deployment).and(OWNER, who.owner())
}

/// The selector of what exists for a caller.
pub(super) fn visible(ready: &Ready, who: &Authorized<'_>) -> Selector {
    if who.is_admin() { Selector::deployment(&ready.config.deployment) } else { mine(ready, who) }
}

/// The provider and the id of a path.
fn parse_id<'a>(ready: &'a Ready, id: &str) -> Result<(&'a Provider, VmId), Problem> {
    let id = VmId::parse(id).ok_or_else(Problem::vm_not_found)?;
    let provider = ready.provider(id.provider).ok_or_else(Problem::vm_not_found)?;
    Ok((provider, id))
}

/// A caller's VM; `None` where the provider has no server of that id. A server without our labels, of another
/// deployment or of another owner does not exist for the caller; for an admin every owner's does.
pub(super) async fn find<'a, H: Host>(
    ctx: &Ctx<'a, H>,
    who: &Authorized<'_>,
    id: &str,
) -> Result<Option<(&'a Provider, Vm<'static>)>, Problem> {
    let (provider, id) = parse_id(ctx.ready, id)?;
    let Some(vm) = provider.get(ctx.host, &id.native).await? else { return Ok(None) };
    if !vm.labels.belongs_to(&ctx.ready.config.deployment) || !who.sees(&vm.labels.owner) {
        return Err(Problem::vm_not_found());
    }
    Ok(Some((provider, vm)))
}
