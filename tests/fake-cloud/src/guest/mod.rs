//! Simulated guests: what would run on the VMs.
//!
//! `life` boots, beats and deletes itself as a VM would; `door` is what a browser finds at its address; `record`
//! is what is known about each guest; `vm_file` reads the user data; `worker` speaks HTTP.

pub(crate) mod door;
mod life;
mod link;
mod pages;
pub(crate) mod record;
mod vm_file;
mod worker;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::fake::Fake;
use vm_file::VmFile;

/// A server has power: its guest begins, if it has one.
pub(crate) fn start(fake: &Arc<Fake>, server: u64) {
    fake.with(|cloud| {
        let now_ms = cloud.now_ms;
        let Some(host) = cloud.host(server).filter(|host| host.is_running) else { return };
        if !cloud.config.guests {
            return;
        }
        let (parsed, address) = (VmFile::from_user_data(host.user_data), host.address);
        match parsed {
            Err(why) => cloud.guests.refuse(server, why),
            Ok(vm) => {
                let (orders, receiver) = mpsc::unbounded_channel();
                cloud.guests.begin(server, vm.clone(), orders, now_ms);
                let life = life::Life::new(fake.clone(), server, vm, address, receiver);
                cloud.guests.attach(server, tokio::spawn(life.live()).abort_handle());
            }
        }
    });
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|d| char::from_digit(d.into(), 16))
        .collect()
}
