//! `GET /options`: what a form needs, with sizes and prices of the moment.

use serde::Serialize;

use super::auth::Authorized;
use super::vms::ProviderError;
use super::wire::{json, money};
use super::{Ctx, Problem, store};
use crate::bucket::Bucket;
use crate::config::{IDLE_MINUTES, MAX_HOURS};
use crate::http::{Host, Reply};
use crate::model::Size;
use crate::providers::{Catalogue, Offer, Provider, side_by_side};
use crate::workspace::{Image, Market, Profile, WebUi};

/// Offers shown per size.
const MAX_OFFERS: usize = 12;

#[derive(Serialize)]
struct OptionsBody<'a> {
    deployment: &'a str,
    owner: &'a str,
    admin: bool,
    simulation: Option<SimulationBody>,
    providers: Vec<ProviderBody>,
    errors: Vec<ProviderError>,
    profiles: Vec<ChoiceBody>,
    web_uis: Vec<ChoiceBody>,
    defaults: DefaultsBody,
    limits: LimitsBody,
    /// Where work is kept when its VM ends: `r2`, `s3`, or nowhere.
    backups: &'static str,
    configured: ConfiguredBody,
}

#[derive(Serialize)]
struct SimulationBody {
    detail: &'static str,
}

#[derive(Serialize)]
struct ProviderBody {
    name: &'static str,
    title: &'static str,
    currency: String,
    firewall: bool,
    calls_per_list: usize,
    images: Vec<&'static str>,
    markets: Vec<&'static str>,
    locations: Vec<LocationBody>,
    sizes: Vec<SizeBody>,
}

#[derive(Serialize)]
struct LocationBody {
    name: String,
    city: String,
    country: String,
}

#[derive(Serialize)]
struct SizeBody {
    size: &'static str,
    server_type: String,
    vcpu: u32,
    memory_gib: f64,
    disk_gb: f64,
    location: String,
    price_per_hour: Option<f64>,
    scenarios: Option<ScenariosBody>,
    offers: Vec<OfferBody>,
}

/// What a month costs.
#[derive(Serialize)]
struct ScenariosBody {
    hours_4_days_20: f64,
    hours_8_days_20: f64,
    always_on: f64,
}

#[derive(Serialize)]
struct OfferBody {
    server_type: String,
    location: String,
    vcpu: u32,
    memory_gib: f64,
    price_per_hour: Option<f64>,
}

#[derive(Serialize)]
struct ChoiceBody {
    name: &'static str,
    title: &'static str,
}

#[derive(Serialize)]
struct DefaultsBody {
    provider: &'static str,
    size: &'static str,
    location: Option<&'static str>,
    profile: &'static str,
    web_ui: &'static str,
    image: &'static str,
    idle_minutes: u32,
    max_hours: u32,
}

#[derive(Serialize)]
struct LimitsBody {
    idle_minutes_min: u32,
    idle_minutes_max: u32,
    max_hours: u32,
}

/// Which defaults for secrets the Worker has. Never the secrets.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "one flag per secret is what the form asks for")]
struct ConfiguredBody {
    anthropic_api_key: bool,
    claude_code_oauth_token: bool,
    git_token: bool,
    ssh_public_key: bool,
}

/// A provider that fails is reported beside the others.
pub(super) async fn options<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    bucket: &impl Bucket,
) -> Result<Reply, Problem> {
    let config = &ctx.ready.config;
    let catalogues =
        side_by_side(ctx.ready.providers.iter().map(|it| it.catalogue(ctx.host, ctx.now_secs))).await;
    let mut providers = Vec::new();
    let mut errors = Vec::new();
    for (provider, catalogue) in ctx.ready.providers.iter().zip(catalogues) {
        match catalogue {
            Ok(catalogue) => providers.push(provider_body(provider, catalogue)),
            Err(error) => errors.push(ProviderError::from(&error)),
        }
    }
    let defaults = &config.defaults;
    let body = OptionsBody {
        deployment: &config.deployment,
        owner: who.owner(),
        admin: who.is_admin(),
        simulation: config.simulation.then_some(SimulationBody {
            detail: "This is a simulation: no VM is created and nothing costs money. To leave it, run npm run setup with a token of your cloud, then npm run deploy.",
        }),
        providers,
        errors,
        profiles: Profile::ALL.map(|it| ChoiceBody { name: it.as_str(), title: it.title() }).into(),
        web_uis: WebUi::ALL.map(|it| ChoiceBody { name: it.as_str(), title: it.title() }).into(),
        defaults: DefaultsBody {
            provider: defaults.provider.as_str(),
            size: defaults.size.as_str(),
            location: None,
            profile: defaults.profile.as_str(),
            web_ui: defaults.web_ui.as_str(),
            image: Image::Debian13.as_str(),
            idle_minutes: defaults.idle_minutes,
            max_hours: defaults.max_hours,
        },
        limits: LimitsBody { idle_minutes_min: *IDLE_MINUTES.start(), idle_minutes_max: *IDLE_MINUTES.end(), max_hours: *MAX_HOURS.end() },
        backups: store::kind(ctx, bucket),
        configured: ConfiguredBody {
            anthropic_api_key: !defaults.anthropic_api_key.is_empty(),
            claude_code_oauth_token: !defaults.claude_code_oauth_token.is_empty(),
            git_token: !defaults.git_token.is_empty(),
            ssh_public_key: defaults.ssh_public_key.is_some(),
        },
    };
    Ok(json(200, &body))
}

fn provider_body(provider: &Provider, catalogue: Catalogue) -> ProviderBody {
    let sizes =
        Size::ALL.into_iter().filter_map(|size| size_body(size, &catalogue.rank(size, None))).collect();
    let location =
        |it: crate::providers::Location| LocationBody { name: it.name, city: it.city, country: it.country };
    ProviderBody {
        name: provider.name().as_str(),
        title: provider.name().title(),
        currency: catalogue.currency.as_str().to_owned(),
        firewall: provider.has_firewall(),
        calls_per_list: provider.calls_per_list(),
        images: Image::ALL.map(Image::as_str).into(),
        markets: Market::ALL
            .into_iter()
            .filter(|it| *it != Market::Spot || provider.has_spot())
            .map(Market::as_str)
            .collect(),
        sizes,
        locations: catalogue.locations.into_iter().map(location).collect(),
    }
}

/// The cheapest offer stands for the size; `None` where nothing can be ordered.
fn size_body(size: Size, ranked: &[&Offer]) -> Option<SizeBody> {
    let best = ranked.first()?;
    let hourly = |it: &Offer| it.price.map(|it| money(it.micros_per_hour));
    let scenarios = best.price.map(|price| {
        let month =
            |hours: u64| money(price.micros_per_hour.saturating_mul(hours).min(best.micros_per_month));
        ScenariosBody {
            hours_4_days_20: month(4 * 20),
            hours_8_days_20: month(8 * 20),
            always_on: money(best.micros_per_month),
        }
    });
    let offer = |it: &&Offer| OfferBody {
        server_type: it.server_type.clone(),
        location: it.location.clone(),
        vcpu: it.vcpu,
        memory_gib: it.memory_gib,
        price_per_hour: hourly(it),
    };
    Some(SizeBody {
        size: size.as_str(),
        server_type: best.server_type.clone(),
        vcpu: best.vcpu,
        memory_gib: best.memory_gib,
        disk_gb: best.disk_gb,
        location: best.location.clone(),
        price_per_hour: hourly(best),
        scenarios,
        offers: ranked.iter().take(MAX_OFFERS).map(offer).collect(),
    })
}
