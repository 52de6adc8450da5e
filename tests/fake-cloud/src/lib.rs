//! A stateful stand-in for the clouds that Mayfly speaks to, with simulated guests, for trying it and for its tests.
//!
//! `api` speaks as Hetzner does, `digitalocean`, `scaleway` and `ovh` as their namesakes; `vendor` tells them apart, `front`
//! stands before them (tokens, rate limit, faults), `cloud` is the state, `hosts` what all servers have in common, `guest`
//! plays the VMs and their doors, `control` is what tests turn and look at. Nothing here is used by Mayfly itself, and
//! nothing here leaves the machine: it listens on the loopback address only.

mod answer;
mod api;
mod body;
mod catalogue;
mod clock;
mod cloud;
mod config;
mod control;
mod digitalocean;
mod error;
mod fake;
mod faults;
mod front;
mod guest;
mod hosts;
mod labels;
mod network;
mod ovh;
mod public_key;
mod query;
mod resources;
mod route;
mod scaleway;
mod vendor;

pub use config::{Capacity, Config, FailPhase};
pub use fake::{Options, Running, start};
