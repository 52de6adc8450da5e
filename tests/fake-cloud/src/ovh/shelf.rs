//! What is only read: the project, regions, flavors, images, prices and the time.

use serde_json::{Value, json};

use super::catalogue::{FLAVORS, Flavor, REGIONS, Region, images_of, prices as price_list};
use super::{Error, PROJECT, check};
use crate::answer::Answer;
use crate::cloud::Cloud;
use crate::route::Call;

/// Currencies of some subsidiaries.
const CURRENCIES: [(&str, &str); 7] =
    [("FR", "EUR"), ("DE", "EUR"), ("PL", "PLN"), ("GB", "GBP"), ("WE", "USD"), ("CA", "CAD"), ("US", "USD")];

/// Seconds, a bare number.
#[expect(clippy::unnecessary_wraps, reason = "a handler like the others")]
pub(super) fn time(cloud: &mut Cloud, _: &Call) -> Result<Answer, Error> {
    Ok(Answer::Ok(json!(cloud.now_ms / 1000)))
}

pub(super) fn prices(_: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let subsidiary = call.query.get("ovhSubsidiary").unwrap_or_default();
    let currency = CURRENCIES.iter().find(|(it, _)| *it == subsidiary);
    let (subsidiary, currency) = currency.ok_or_else(|| Error::bad("[ovhSubsidiary] unknown"))?;
    Ok(Answer::Ok(price_list(subsidiary, currency)))
}

#[expect(clippy::unnecessary_wraps, reason = "a handler like the others")]
pub(super) fn projects(_: &mut Cloud, _: &Call) -> Result<Answer, Error> {
    Ok(Answer::Ok(json!([PROJECT])))
}

pub(super) fn project(_: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    check(call, &[])?;
    Ok(Answer::Ok(json!({
        "project_id": PROJECT, "projectName": null, "description": "A simulated project", "status": "ok",
        "access": "full", "planCode": "project.2018", "creationDate": "2026-01-01T00:00:00Z",
        "expiration": null, "manualQuota": false, "orderId": null, "unleash": false, "iam": null,
    })))
}

/// The regions that a query is about.
pub(super) fn regions_of(call: &Call) -> Result<Vec<&'static Region>, Error> {
    match call.query.get("region") {
        None => Ok(REGIONS.iter().collect()),
        Some(name) => Ok(vec![Region::find(name).ok_or_else(|| Error::not_found("Region"))?]),
    }
}

pub(super) fn regions(_: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    check(call, &[])?;
    Ok(Answer::Ok(REGIONS.iter().map(|it| it.name).collect()))
}

pub(super) fn region(_: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    check(call, &[])?;
    let region = Region::find(call.segment("id")).ok_or_else(|| Error::not_found("Region"))?;
    Ok(Answer::Ok(region.to_json()))
}

pub(super) fn flavors(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    check(call, &["region"])?;
    let config = &cloud.config;
    let of = |region: &'static Region| FLAVORS.iter().map(move |it| it.to_json(region, config));
    Ok(Answer::Ok(regions_of(call)?.into_iter().flat_map(of).collect()))
}

pub(super) fn flavor(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    check(call, &[])?;
    let (flavor, region) = Flavor::find(call.segment("id")).ok_or_else(|| Error::not_found("Flavor"))?;
    Ok(Answer::Ok(flavor.to_json(region, &cloud.config)))
}

pub(super) fn images(_: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    check(call, &["region", "osType"])?;
    let kind = call.query.get("osType");
    if kind.is_some_and(|it| !["linux", "windows", "bsd", "baremetal-linux"].contains(&it)) {
        return Err(Error::bad("[osType] Given data is not valid"));
    }
    let all = regions_of(call)?.into_iter().flat_map(images_of);
    Ok(Answer::Ok(all.filter(|it| kind.is_none_or(|kind| it["type"] == kind)).collect()))
}

pub(super) fn image(_: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    check(call, &[])?;
    let image: Option<Value> = REGIONS.iter().flat_map(images_of).find(|it| it["id"] == call.segment("id"));
    image.map(Answer::Ok).ok_or_else(|| Error::not_found("Image"))
}
