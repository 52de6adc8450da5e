//! What is only read: actions, server types, locations, prices, and the data centers that are gone.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::catalogue::{self, LOCATIONS, Location, SERVER_TYPES, ServerType};
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::query::Listing;
use crate::route::Call;

const SERVER_TYPE_LIST: Listing =
    Listing { key: "server_types", sort: &[], filters: &[("name", &[])], labels: false };
const ACTION_LIST: Listing = Listing { key: "actions", sort: &["id"], filters: &[], labels: false };
const LOCATION_LIST: Listing =
    Listing { key: "locations", sort: &["id", "name"], filters: &[("name", &[])], labels: false };

/// Ids are required: the list of everything was removed.
pub(super) fn actions(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let ids: Vec<&str> = call.query.all("id").collect();
    if ids.is_empty() {
        return Err(ApiError::invalid("id", "missing data for required field"));
    }
    let mut found: Vec<Value> = Vec::new();
    for id in ids {
        let id: u64 = id.parse().map_err(|_| ApiError::invalid("id", "must be a positive integer"))?;
        found.extend(cloud.actions.get(&id).map(|action| action.to_json(cloud.now_ms)));
    }
    ACTION_LIST.answer(&call.query, found, cloud.config.max_per_page).map(Answer::Ok)
}

pub(super) fn action(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    match cloud.action_json(call.id()?) {
        Value::Null => Err(ApiError::not_found("action")),
        action => Ok(Answer::Ok(json!({ "action": action }))),
    }
}

pub(super) fn server_types(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let all = SERVER_TYPES.iter().map(|kind| kind.to_json(&cloud.config)).collect();
    SERVER_TYPE_LIST.answer(&call.query, all, cloud.config.max_per_page).map(Answer::Ok)
}

pub(super) fn server_type(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let kind = ServerType::find(&call.id()?.to_string()).ok_or_else(|| ApiError::not_found("server type"))?;
    Ok(Answer::Ok(json!({ "server_type": kind.to_json(&cloud.config) })))
}

pub(super) fn locations(cloud: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let all = LOCATIONS.iter().map(Location::to_json).collect();
    LOCATION_LIST.answer(&call.query, all, cloud.config.max_per_page).map(Answer::Ok)
}

pub(super) fn location(_: &mut Cloud, call: &Call) -> Result<Answer, ApiError> {
    let location = Location::find(&call.id()?.to_string()).ok_or_else(|| ApiError::not_found("location"))?;
    Ok(Answer::Ok(json!({ "location": location.to_json() })))
}

/// Removed from the API on 1 October 2026.
pub(super) fn datacenters(_: &mut Cloud, _: &Call) -> Result<Answer, ApiError> {
    Err(ApiError::gone("datacenters are no longer part of the API, use locations"))
}

#[expect(clippy::unnecessary_wraps, reason = "a handler like the others")]
pub(super) fn pricing(_: &mut Cloud, _: &Call) -> Result<Answer, ApiError> {
    Ok(Answer::Ok(catalogue::pricing()))
}
