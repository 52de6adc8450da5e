//! What is only read: the account, actions, regions and sizes.

use serde_json::{Value, json};

use super::catalogue::{REGIONS, SIZES};
use super::{Error, number, page};
use crate::answer::Answer;
use crate::cloud::Cloud;
use crate::route::Call;

#[expect(clippy::unnecessary_wraps, reason = "a handler like the others")]
pub(super) fn account(cloud: &mut Cloud, _: &Call) -> Result<Answer, Error> {
    Ok(Answer::Ok(json!({ "account": {
        "droplet_limit": cloud.config.server_limit, "floating_ip_limit": 5, "email": "team@example.com",
        "name": "A simulated team", "uuid": "b6fr89dbf6d9156cace5f3c78dc9851d957381ef", "email_verified": true,
        "status": "active", "status_message": "",
    } })))
}

pub(super) fn actions(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let all: Vec<Value> =
        cloud.digitalocean.actions.values().rev().map(|it| it.to_json(&cloud.config)).collect();
    page(cloud, call, "actions", "/actions", all)
}

pub(super) fn action(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let action = cloud.digitalocean.actions.get(&number(call)?).ok_or_else(Error::not_found)?;
    Ok(Answer::Ok(json!({ "action": action.to_json(&cloud.config) })))
}

pub(super) fn regions(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let all = REGIONS.iter().map(|it| it.to_json(&cloud.config)).collect();
    page(cloud, call, "regions", "/regions", all)
}

pub(super) fn sizes(cloud: &mut Cloud, call: &Call) -> Result<Answer, Error> {
    let all = SIZES.iter().map(|it| it.to_json(&cloud.config)).collect();
    page(cloud, call, "sizes", "/sizes", all)
}
