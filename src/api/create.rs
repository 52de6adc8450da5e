//! `POST /vms`: from a request to a VM, and its dry run. Placement and rollback are the provider module's, reading the
//! request `spec`'s.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use super::auth::Authorized;
use super::placement::{choose, source_of};
use super::vms::{key_of, mine};
use super::wire::{AttemptBody, VmBody, json};
use super::{Ctx, Problem, ceilings, cut_off, read_body, restore, seal};
use crate::backup;
use crate::encoding::base32;
use crate::http::{Body, Caller, Host, Random, Reply};
use crate::keys::{Claims, Scope};
use crate::labels::{self, LabelSet, Selector};
use crate::life::Run;
use crate::model::{Phase, Vm, VmState};
use crate::name;
use crate::providers::{Attempt, Created, ErrorKind, Offer, Plan, Provider, Source};
use crate::reaper;
use crate::spec::Spec;
use crate::ssh_key::SshPublicKey;
use crate::user_data::{self, VmFile};
use crate::workspace::Market;

/// New names that are tried when a generated one is taken.
const MAX_NAMES: u32 = 3;
/// Longest `Idempotency-Key`, characters.
const IDEMPOTENCY_KEY_MAX_CHARS: usize = 255;
/// Stands for a location's name where its length counts, and for what a dry run does not show.
const ANY_LOCATION: &str = "--------";
const MASK: &str = "******";

#[derive(Serialize)]
struct CreatedBody<'a> {
    vm: VmBody<'a>,
    password: &'a str,
    attempts: Vec<AttemptBody<'a>>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct DryRunBody {
    user_data: String,
    bytes: usize,
    limit_bytes: usize,
}

/// The secrets of a request as they are sealed, and what it says of a backup; `vm_side` opens them at the boot exchange.
/// Room in the user data is short: what is empty is left out.
#[derive(Serialize)]
struct SealedSecrets<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    git_token: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    anthropic_api_key: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    claude_code_oauth_token: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    env: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    restore: &'a str,
}

/// What makes a repeated request recognisable.
pub(super) struct Idempotency {
    /// Fingerprint of owner and key; a label.
    idem: String,
    /// Fingerprint of the body; a label.
    body: String,
    /// Seed of the name's suffix.
    suffix: [u8; 4],
}

/// One VM to be: what every placement attempt shares.
struct Draft<'a> {
    spec: &'a Spec,
    vm: String,
    name: String,
    /// As its capability tells it; empty where its labels do.
    workspace: String,
    created_secs: u64,
    expires_secs: u64,
    sealed: String,
    worker: Cow<'a, str>,
    owner: &'a str,
    idempotency: Option<&'a Idempotency>,
    ends_on_shutdown: bool,
}

/// What a request led to.
pub(super) enum Made {
    /// A VM that was not there before.
    New(Created),
    /// The one that the same request had made.
    Known(Vm<'static>),
}

/// `POST /vms`: 201 with a new VM, or 200 with the one that the same `Idempotency-Key` made.
pub(super) async fn create<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    caller: &mut impl Caller,
) -> Result<Reply, Problem> {
    let key = idempotency_key(ctx)?;
    let body = read_body(caller).await?;
    let spec = seal::parse(ctx, who, &body)?;
    restore::check(ctx, who, &spec, caller).await?;
    let idempotency = key.map(|key| idempotency(ctx, who, &key, &body));
    match make(ctx, who, &spec, idempotency.as_ref()).await? {
        Made::New(it) => Ok(answer(ctx, 201, &it.vm, &it.attempts, it.warnings)),
        Made::Known(vm) => {
            let mut reply = answer(ctx, 200, &vm, &[], Vec::new());
            reply.headers.push(("idempotent-replayed", "true".into()));
            Ok(reply)
        }
    }
}

/// Creates a VM:
/// 1. refuses user data over the provider's limit: 422;
/// 2. looks for a VM that the same request made, and answers with it, or 422 if the body was another; one that was never
///    switched on is no answer;
/// 3. resolves the size from live types: 400 for an unknown location, 503 where nothing can be ordered;
/// 4. refuses what would pass a ceiling: 429 with the figures;
/// 5. creates it, one place after the other, or gives the provider's error with every attempt;
/// 6. with a key, looks again: of two that were made at the same moment the older stays.
pub(super) async fn make<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    spec: &Spec,
    idempotency: Option<&Idempotency>,
) -> Result<Made, Problem> {
    let provider = provider_of(ctx, spec)?;
    let mut draft = draft(ctx, provider, who.owner(), spec, idempotency);
    // (1)
    check_length(ctx, provider, &draft)?;
    // (2) and (3), side by side
    let known = async {
        match idempotency {
            Some(it) => made_by(ctx, provider, who, it).await,
            None => Ok(Vec::new()),
        }
    };
    let (known, catalogue) =
        futures_util::future::join(known, provider.catalogue(ctx.host, ctx.now_secs)).await;
    if let Some(idempotency) = idempotency
        && let Some(vm) = cut_off::settle(ctx, provider, known?, &idempotency.body, None).await?
    {
        return known_by(vm, idempotency);
    }
    let snapshot = source_of(ctx, who, provider, spec).await?;
    let offers = choose(ctx, provider, &catalogue?, spec, snapshot.as_ref()).await?;
    // (4)
    let offers = ceilings::allowed(ctx, who, offers).await?;
    // (5)
    let key = spec.ssh_public_key.clone().unwrap_or_else(|| nobodys_key(ctx));
    let mut names = 1;
    let created = loop {
        let plan = Plan {
            name: &draft.name,
            source: snapshot.as_ref().map_or(Source::Image(spec.image), |it| Source::Snapshot(&it.native)),
            market: spec.market,
            ssh_key: &key,
            offers: &offers,
            shared_labels: labels::ours(&ctx.ready.config.deployment),
            deployment: &ctx.ready.config.deployment,
            identity: Selector::deployment(&ctx.ready.config.deployment).and(labels::VM, &draft.vm),
            render: |offer: &Offer| (draft.labels(ctx, offer), draft.user_data(ctx, &offer.location)),
        };
        let (error, attempts) = match provider.create(ctx.host, &plan).await {
            Ok(created) => break created,
            Err(failed) => failed,
        };
        let is_taken = error.kind == ErrorKind::AlreadyExists;
        let is_disturbed =
            matches!(error.kind, ErrorKind::NotFound | ErrorKind::Locked | ErrorKind::Conflict);
        if let Some(idempotency) = idempotency.filter(|_| is_taken || is_disturbed) {
            // The name derives from the key: whoever has it may be the first try of this same request. Where names are not
            // unique, the first try may have ended this one's server before it was ready.
            let known = made_by(ctx, provider, who, idempotency).await?;
            if let Some(vm) = cut_off::settle(ctx, provider, known, &idempotency.body, None).await? {
                return known_by(vm, idempotency);
            }
        }
        if !is_taken {
            return Err(Problem::from(error).with_attempts(attempts));
        }
        if spec.name.is_some() || idempotency.is_some() || names == MAX_NAMES {
            let taken = format!("The name {} is taken in this account.", draft.name);
            return Err(Problem::new(409, "name_taken", taken).with_attempts(attempts));
        }
        names += 1;
        draft.name = name::generate(what_it_is(spec), random(ctx.host));
    };
    // (6)
    if let Some(idempotency) = idempotency {
        let known = made_by(ctx, provider, who, idempotency).await?;
        let first = cut_off::settle(ctx, provider, known, &idempotency.body, Some(&created.vm)).await?;
        if let Some(older) = first.filter(|it| it.id != created.vm.id) {
            return known_by(older, idempotency);
        }
    }
    reaper::log_event(ctx.host, "created", &created.vm, spec.size.as_str());
    Ok(Made::New(created))
}

/// `POST /user-data`: what `POST /vms` would send, with capability and secrets masked. No provider is asked.
pub(super) async fn dry_run<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    body: &mut impl Body,
) -> Result<Reply, Problem> {
    let body = read_body(body).await?;
    let spec = seal::parse(ctx, who, &body)?;
    let provider = provider_of(ctx, &spec)?;
    let draft = draft(ctx, provider, who.owner(), &spec, None);
    let bytes = provider.user_data_bytes(&draft.user_data(ctx, ANY_LOCATION));
    let masked = draft.render(
        ctx,
        spec.location.as_deref().unwrap_or("fsn1"),
        MASK,
        if draft.sealed.is_empty() { "" } else { MASK },
    );
    Ok(json(200, &DryRunBody { user_data: masked, bytes, limit_bytes: provider.user_data_max_bytes() }))
}

impl Draft<'_> {
    fn labels<H>(&self, ctx: &Ctx<'_, H>, offer: &Offer) -> LabelSet {
        let config = &ctx.ready.config;
        let spec = self.spec;
        let mut set = labels::ours(&config.deployment);
        let mut put = |key: &str, value: String| set.push((key.to_owned(), value));
        put(labels::VM, self.vm.clone());
        put(labels::OWNER, self.owner.to_owned());
        put(labels::PHASE, Phase::Booting.as_str().to_owned());
        put(labels::ACTIVE, self.created_secs.to_string());
        put(labels::IDLE, spec.idle_minutes.to_string());
        put(labels::EXPIRES, self.expires_secs.to_string());
        put(labels::RUN, Run { hours: Some(spec.max_hours), started_secs: None }.pack());
        if let Some(price) = offer.price {
            put(labels::PRICE, labels::pack_price(price));
        }
        put(labels::PROFILE, spec.profile.as_str().to_owned());
        put(labels::UI, spec.web_ui.as_str().to_owned());
        put(labels::SIZE, spec.size.as_str().to_owned());
        put(labels::KEY_ID, config.keys.signer().id().to_owned());
        if let Some(idempotency) = self.idempotency {
            put(labels::IDEM, idempotency.idem.clone());
            put(labels::BODY, idempotency.body.clone());
        }
        if spec.golden {
            set.push((labels::GOLDEN.to_owned(), labels::YES.to_owned()));
        } else {
            set.extend(labels::pieces(labels::REPO, spec.repo_url.as_str()));
        }
        if spec.use_paid_hour {
            set.push((labels::PAID_HOUR.to_owned(), labels::YES.to_owned()));
        }
        if !spec.branch.is_empty() {
            set.extend(labels::pieces(labels::BRANCH, &spec.branch));
        }
        set
    }

    /// The user data for one location, with a capability of its own.
    fn user_data<H>(&self, ctx: &Ctx<'_, H>, location: &str) -> String {
        let config = &ctx.ready.config;
        let capability = config.keys.signer().sign(&Claims {
            deployment: config.deployment.clone(),
            vm: self.vm.clone(),
            provider: self.spec.provider.as_str().to_owned(),
            region: location.to_owned(),
            scope: Scope::Vm,
            expires_secs: None,
            workspace: self.workspace.clone(),
            owner: String::new(),
        });
        self.render(ctx, location, &capability, &self.sealed)
    }

    fn render<H>(&self, ctx: &Ctx<'_, H>, location: &str, capability: &str, sealed: &str) -> String {
        let config = &ctx.ready.config;
        let spec = self.spec;
        // No credential comes onto a disk that is stored.
        let has_vm_credential = !spec.golden && config.vm_credential(spec.provider).is_some();
        let file = VmFile {
            v: 1,
            worker: &self.worker,
            vm: &self.vm,
            capability,
            deployment: &config.deployment,
            provider: spec.provider.as_str(),
            location,
            name: &self.name,
            profile: spec.profile.as_str(),
            repo_url: spec.repo_url.as_str(),
            branch: &spec.branch,
            web_ui: spec.web_ui.as_str(),
            devcontainer_image: &spec.devcontainer_image,
            trust_repo: spec.trust_repo,
            idle_minutes: spec.idle_minutes,
            created: self.created_secs,
            expires: self.expires_secs,
            allow_from: &spec.allow_from,
            domain: &config.domain,
            image: spec.image.as_str(),
            sealed,
            self_delete: match self.ends_on_shutdown {
                true => "shutdown",
                false if has_vm_credential => "provider",
                false => "worker",
            },
        };
        user_data::render(&file, spec.ssh_public_key.as_ref())
    }
}

fn draft<'a, H: Host>(
    ctx: &'a Ctx<'_, H>,
    provider: &Provider,
    owner: &'a str,
    spec: &'a Spec,
    idempotency: Option<&'a Idempotency>,
) -> Draft<'a> {
    let vm = base32(&random::<16, _>(ctx.host));
    let config = &ctx.ready.config;
    let name = spec.name.clone().unwrap_or_else(|| {
        let suffix = idempotency.map_or_else(|| random(ctx.host), |it| it.suffix);
        name::generate(what_it_is(spec), suffix)
    });
    let secrets = &spec.secrets;
    let restore = spec.restore.for_vm();
    let sealed = if secrets.is_empty() && restore.is_empty() {
        String::new()
    } else {
        let plain = SealedSecrets {
            git_token: secrets.git_token.expose(),
            anthropic_api_key: secrets.anthropic_api_key.expose(),
            claude_code_oauth_token: secrets.claude_code_oauth_token.expose(),
            env: secrets.env.iter().map(|(name, value)| (name.as_str(), value.expose())).collect(),
            restore,
        };
        let plain = serde_json::to_vec(&plain).unwrap_or_default();
        config.keys.signer().seal(&plain, &config.deployment, &vm, random(ctx.host))
    };
    let is_told = provider.may_drop_labels() && !spec.golden;
    Draft {
        spec,
        name,
        workspace: if is_told { backup::workspace(owner, &spec.repo_url) } else { String::new() },
        created_secs: ctx.now_secs,
        expires_secs: ctx.now_secs + u64::from(spec.max_hours) * 3600,
        sealed,
        worker: ctx.ready.public_url(ctx.head.origin),
        owner,
        idempotency,
        ends_on_shutdown: provider.ends_on_shutdown(),
        vm,
    }
}

fn check_length<H>(ctx: &Ctx<'_, H>, provider: &Provider, draft: &Draft<'_>) -> Result<(), Problem> {
    let bytes = provider.user_data_bytes(&draft.user_data(ctx, ANY_LOCATION));
    let max = provider.user_data_max_bytes();
    if bytes <= max {
        return Ok(());
    }
    let detail = format!(
        "The user data would have {bytes} bytes; {} takes {max}. Give fewer or shorter env values, secrets and keys.",
        provider.name().title()
    );
    Err(Problem::new(422, "user_data_too_long", detail))
}

fn provider_of<'a, H>(ctx: &Ctx<'a, H>, spec: &Spec) -> Result<&'a Provider, Problem> {
    let provider = ctx
        .ready
        .provider(spec.provider)
        .ok_or_else(|| Problem::invalid_field("provider", "is not configured in this Worker"))?;
    if spec.market == Market::Spot && !provider.has_spot() {
        let detail = format!("must be on-demand: {} has no spot market", provider.name().title());
        return Err(Problem::invalid_field("market", detail));
    }
    Ok(provider)
}

fn idempotency_key<H>(ctx: &Ctx<'_, H>) -> Result<Option<String>, Problem> {
    let Some(key) = (ctx.head.header)("idempotency-key") else { return Ok(None) };
    let fits = (1..=IDEMPOTENCY_KEY_MAX_CHARS).contains(&key.len())
        && key.bytes().all(|it| it.is_ascii_graphic() || it == b' ');
    if !fits {
        return Err(Problem::invalid_field("Idempotency-Key", "must be 1 to 255 printable ASCII characters"));
    }
    Ok(Some(key))
}

pub(super) fn idempotency<H>(ctx: &Ctx<'_, H>, who: &Authorized<'_>, key: &str, body: &[u8]) -> Idempotency {
    let signer = ctx.ready.config.keys.signer();
    let parts: [&[u8]; 2] = [who.owner().as_bytes(), key.as_bytes()];
    let [a, b, c, d, ..] = signer.derive("name", &parts);
    Idempotency {
        idem: signer.fingerprint("idem", &parts),
        body: signer.fingerprint("body", &[body]),
        suffix: [a, b, c, d],
    }
}

/// The VMs that a key made. One that is being deleted is no answer to give any more.
async fn made_by<H: Host>(
    ctx: &Ctx<'_, H>,
    provider: &Provider,
    who: &Authorized<'_>,
    it: &Idempotency,
) -> Result<Vec<Vm<'static>>, Problem> {
    let mut found = provider.find(ctx.host, &mine(ctx.ready, who).and(labels::IDEM, &it.idem)).await?;
    // The provider was asked for these alone; what it sends beside must neither be answered with nor settled.
    found.retain(|vm| {
        vm.labels.belongs_to(&ctx.ready.config.deployment)
            && vm.labels.owner == who.owner()
            && vm.labels.idem == it.idem
            && vm.state != VmState::Deleting
    });
    Ok(found)
}

/// The VM that a repeated request made before, if the body was the same.
fn known_by(vm: Vm<'static>, idempotency: &Idempotency) -> Result<Made, Problem> {
    if vm.labels.body != idempotency.body {
        let detail = format!(
            "This Idempotency-Key made the VM {} from another body; use a new key for a new VM.",
            vm.id
        );
        return Err(Problem::new(422, "idempotency_key_reused", detail));
    }
    Ok(Made::Known(vm))
}

/// What a name is made of.
fn what_it_is(spec: &Spec) -> &str {
    if spec.golden { "golden" } else { spec.repo_url.name() }
}

fn answer<H>(
    ctx: &Ctx<'_, H>,
    status: u16,
    vm: &Vm<'_>,
    attempts: &[Attempt],
    warnings: Vec<String>,
) -> Reply {
    let password = key_of(ctx.ready, vm).password(&vm.labels.vm);
    let body = CreatedBody {
        vm: VmBody::new(ctx.ready, vm, ctx.now_secs),
        password: password.expose(),
        attempts: attempts.iter().map(AttemptBody::from).collect(),
        warnings,
    };
    let mut reply = json(status, &body);
    reply.headers.push(("location", format!("/vms/{}", vm.id)));
    reply
}

/// One key for all VMs whose user gave none, so that no provider sets and mails a root password.
fn nobodys_key<H>(ctx: &Ctx<'_, H>) -> SshPublicKey {
    let config = &ctx.ready.config;
    SshPublicKey::nobody(config.keys.signer().derive("nobody", &[config.deployment.as_bytes()]))
}

fn random<const N: usize, R: Random>(host: &R) -> [u8; N] {
    let mut bytes = [0; N];
    host.fill(&mut bytes);
    bytes
}
