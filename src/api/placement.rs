//! Where a VM is tried, and what its disk begins as. What is sold is the provider module's to say.

use super::auth::Authorized;
use super::{Ctx, Problem, golden, snapshots};
use crate::http::Host;
use crate::providers::{Catalogue, Offer, Provider, Snapshot};
use crate::spec::{Spec, Start};
use crate::workspace::Market;

/// Placements that are tried at the most: an account was once closed for a storm of creates.
const MAX_OFFERS: usize = 6;
/// Types whose spot price is asked for: what is cheapest there is among what is cheapest anyway.
const MAX_SPOT_ASKED: usize = 40;

/// The snapshot that the VM's disk begins as, where it does.
pub(super) async fn source_of<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    provider: &Provider,
    spec: &Spec,
) -> Result<Option<Snapshot>, Problem> {
    match &spec.start {
        Start::Image => return Ok(None),
        Start::Snapshot(id) => return snapshot_of(ctx, who, id).await.map(Some),
        Start::Golden => {}
    }
    let newest = golden::newest(ctx.ready, ctx.host, provider, spec.profile).await?;
    let missing = || {
        let detail = format!(
            "There is no golden snapshot of the profile {} at {} that is ready. POST /snapshots/golden makes one.",
            spec.profile.as_str(),
            provider.name().title()
        );
        Problem::new(409, "no_golden_snapshot", detail)
    };
    newest.ok_or_else(missing).map(Some)
}

async fn snapshot_of<H: Host>(ctx: &Ctx<'_, H>, who: &Authorized<'_>, id: &str) -> Result<Snapshot, Problem> {
    let found = snapshots::lookup(ctx, who, id).await?;
    let (_, snapshot) =
        found.ok_or_else(|| Problem::invalid_field("snapshot_id", "is not a snapshot of yours"))?;
    if !snapshot.is_ready {
        let detail = "The snapshot is not complete yet; try again in a minute.";
        return Err(Problem::new(409, "snapshot_not_ready", detail).with_retry_after(60));
    }
    Ok(snapshot)
}

/// Cheapest first; an unknown location is the caller's mistake, a lack of offers the provider's.
pub(super) async fn choose<H: Host>(
    ctx: &Ctx<'_, H>,
    provider: &Provider,
    catalogue: &Catalogue,
    spec: &Spec,
    snapshot: Option<&Snapshot>,
) -> Result<Vec<Offer>, Problem> {
    let known: Vec<&str> = catalogue.locations.iter().map(|it| it.name.as_str()).collect();
    if spec.location.as_deref().is_some_and(|it| !known.contains(&it)) {
        return Err(Problem::invalid_field("location", format!("must be one of {}", known.join(", "))));
    }
    let ranked = catalogue.rank(spec.size, spec.location.as_deref());
    let fitting = match snapshot {
        Some(snapshot) => fit(ranked, spec, snapshot)?,
        None => ranked,
    };
    let mut offers = match spec.market {
        Market::OnDemand => fitting.into_iter().take(MAX_OFFERS).cloned().collect(),
        Market::Spot => {
            let asked = fitting.get(..MAX_SPOT_ASKED).unwrap_or(&fitting);
            provider.spot_offers(ctx.host, asked).await?
        }
    };
    offers.truncate(MAX_OFFERS);
    Ok(offers)
}

/// A snapshot needs a disk that it fits, where it is.
fn fit<'a>(ranked: Vec<&'a Offer>, spec: &Spec, snapshot: &Snapshot) -> Result<Vec<&'a Offer>, Problem> {
    let is_there = |it: &&Offer| snapshot.locations.is_empty() || snapshot.locations.contains(&it.location);
    let is_large = |it: &&Offer| it.disk_gb >= snapshot.min_disk_gb;
    if !ranked.iter().any(is_large) && !ranked.is_empty() {
        let detail =
            format!("needs a disk of {} GB, which size {} has not", snapshot.min_disk_gb, spec.size.as_str());
        return Err(Problem::invalid_field("size", detail));
    }
    if !ranked.iter().any(is_there) && !ranked.is_empty() {
        let detail = format!("must be where the snapshot is: {}", snapshot.locations.join(", "));
        return Err(Problem::invalid_field("location", detail));
    }
    Ok(ranked.into_iter().filter(|it| is_there(it) && is_large(it)).collect())
}
