//! A stateful stand-in for Hetzner's Cloud API with simulated guests, for trying Mayfly and for its tests.
//!
//! `api` speaks as the vendor does, `front` stands before it (tokens, rate limit, faults), `cloud` is the state,
//! `guest` plays the VMs and their doors, `control` is what tests turn and look at. Nothing here is used by
//! Mayfly itself, and nothing here leaves the machine: it listens on the loopback address only.

mod answer;
mod api;
mod body;
mod catalogue;
mod clock;
mod cloud;
mod config;
mod control;
mod error;
mod fake;
mod faults;
mod front;
mod guest;
mod labels;
mod query;
mod resources;

pub use config::{Capacity, Config, FailPhase};
pub use fake::{Options, Running, start};
