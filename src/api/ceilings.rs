//! The ceilings that whoever pays has set: how many VMs, and what they may cost together. Checked before a VM is created;
//! what VMs cost is written on them. Two creations at the same moment may both pass; the next one sees both.

use super::auth::Authorized;
use super::wire::money;
use super::{Ctx, Problem};
use crate::config::{Ceilings, Limits};
use crate::http::Host;
use crate::labels::Selector;
use crate::model::{Price, VmState};
use crate::providers::{Error, Offer, Provider, side_by_side};
use crate::spec::FieldProblem;

/// Hours of a month, as clouds count them.
pub(super) const HOURS_PER_MONTH: u64 = 730;
/// The ceilings of one owner, as their entry in `API_TOKENS` names them.
const MAX_VMS: &str = "max_vms";
const MAX_HOURLY_COST: &str = "max_hourly_cost";

/// What is there already. VMs that are past their end and not gone yet count: they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    vms: u64,
    of_owner: u64,
    micros_per_hour: u64,
    micros_of_owner: u64,
}

/// The offers that pass no ceiling with one more VM: capacity that is missing must not make it a dearer one than is allowed.
/// Where none is left, 429 with the figures of the first. What cannot be counted is not assumed to be little: then the
/// provider's error is the answer, and a VM without a price passes no ceiling of costs.
pub(super) async fn allowed<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    mut offers: Vec<Offer>,
) -> Result<Vec<Offer>, Problem> {
    let (ceilings, limits) = (&ctx.ready.config.ceilings, who.limits());
    if !ceilings.is_any() && limits == Limits::default() {
        return Ok(offers);
    }
    let sum = total(ctx, who).await?;
    let first = offers.first().map_or_else(Vec::new, |it| sum.passed(ceilings, limits, it.price));
    offers.retain(|it| sum.passed(ceilings, limits, it.price).is_empty());
    if offers.is_empty() && !first.is_empty() { Err(Problem::ceiling(first)) } else { Ok(offers) }
}

async fn total<H: Host>(ctx: &Ctx<'_, H>, who: &Authorized<'_>) -> Result<Sum, Problem> {
    let counted = side_by_side(ctx.ready.providers.iter().map(|it| count(ctx, it, who.owner()))).await;
    let mut sum = Sum::default();
    for part in counted {
        let part = part.map_err(|error| {
            Problem::from(error)
                .and("Its VMs count towards a ceiling, so no VM is created while they cannot be counted.")
        })?;
        sum.vms += part.vms;
        sum.of_owner += part.of_owner;
        sum.micros_per_hour = sum.micros_per_hour.saturating_add(part.micros_per_hour);
        sum.micros_of_owner = sum.micros_of_owner.saturating_add(part.micros_of_owner);
    }
    Ok(sum)
}

impl Sum {
    /// The ceilings that one more VM at this price would pass, with the figures.
    fn passed(&self, ceilings: &Ceilings, limits: Limits, price: Option<Price>) -> Vec<FieldProblem> {
        let mut passed = Vec::new();
        let mut pass =
            |field: &str, detail: String| passed.push(FieldProblem { field: field.into(), detail });
        if let Some(max) = ceilings.vms.filter(|it| self.vms >= u64::from(*it)) {
            pass("MAX_VMS", format!("is {max}, and there are {} VMs", self.vms));
        }
        // What is said of one owner takes the place of what is said of every owner.
        let of_owner = limits.vms.map(|it| (MAX_VMS, it));
        let of_owner = of_owner.or_else(|| ceilings.vms_per_owner.map(|it| ("MAX_VMS_PER_OWNER", it)));
        if let Some((field, max)) = of_owner.filter(|(_, it)| self.of_owner >= u64::from(*it)) {
            pass(field, format!("is {max}, and you have {} VMs", self.of_owner));
        }
        let Some(price) = price else {
            let costs = [
                ("MAX_HOURLY_COST", ceilings.micros_per_hour),
                ("MAX_MONTHLY_COST", ceilings.micros_per_month),
                (MAX_HOURLY_COST, limits.micros_per_hour),
            ];
            if let Some((field, _)) = costs.iter().find(|(_, it)| it.is_some()) {
                pass(field, "is set, and the provider tells no price of this VM".to_owned());
            }
            return passed;
        };
        let hourly = self.micros_per_hour.saturating_add(price.micros_per_hour);
        let currency = price.currency.as_str();
        for (field, max, spent, whose) in [
            ("MAX_HOURLY_COST", ceilings.micros_per_hour, self.micros_per_hour, ""),
            (MAX_HOURLY_COST, limits.micros_per_hour, self.micros_of_owner, " on yours"),
        ] {
            let added = spent.saturating_add(price.micros_per_hour);
            if let Some(max) = max.filter(|it| added > *it) {
                let detail = format!(
                    "is {:.4}; {:.4} is spent per hour{whose}, and this VM adds {:.4} {currency}",
                    money(max),
                    money(spent),
                    money(price.micros_per_hour)
                );
                pass(field, detail);
            }
        }
        let monthly = hourly.saturating_mul(HOURS_PER_MONTH);
        if let Some(max) = ceilings.micros_per_month.filter(|it| monthly > *it) {
            let detail = format!(
                "is {:.2}; with this VM it would be {:.2} {currency} for {HOURS_PER_MONTH} hours",
                money(max),
                money(monthly)
            );
            pass("MAX_MONTHLY_COST", detail);
        }
        passed
    }
}

async fn count<H: Host>(ctx: &Ctx<'_, H>, provider: &Provider, owner: &str) -> Result<Sum, Error> {
    let deployment = &ctx.ready.config.deployment;
    let mut sum = Sum::default();
    let ours = Selector::deployment(deployment);
    let listed = provider.for_each(ctx.host, &ours, |vm| {
        if vm.labels.belongs_to(deployment) && vm.state != VmState::Deleting {
            sum.vms += 1;
            let price = vm.labels.price.map_or(0, |it| it.micros_per_hour);
            sum.micros_per_hour = sum.micros_per_hour.saturating_add(price);
            if vm.labels.owner == owner {
                sum.of_owner += 1;
                sum.micros_of_owner = sum.micros_of_owner.saturating_add(price);
            }
        }
    });
    listed.await.map(|_| sum)
}
