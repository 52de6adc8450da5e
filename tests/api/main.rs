//! The API, request in and answer out, before a scripted provider: every route, who may call it, and everything that can
//! be wrong with a call. What providers say in detail is in `providers.rs`, what user data looks like in `user_data.rs`.

#[allow(dead_code, reason = "each test binary uses its part")]
#[path = "../support/mod.rs"]
mod support;

mod access;
mod admins;
mod agent;
mod agent_budget;
mod backup;
mod boot;
mod cloudflare_access;
mod create;
mod create_failures;
mod frame;
mod golden;
mod idempotency;

mod input;
mod lifecycle;
mod logs;
mod money;
mod owners;
mod providers;
mod reaper;
mod reports;
mod restore;
mod s3;
mod script;
mod seal;
mod snapshots;
mod token;
mod vms;
mod webhook;
mod workspaces;
