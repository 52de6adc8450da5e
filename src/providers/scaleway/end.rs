//! The end of a server at Scaleway, by what its `allowed_actions` say: `terminate` where it is allowed, which takes local disks
//! and the dynamic address along; else power off, wait, DELETE, and the disk that a DELETE leaves behind. What somebody has
//! attached outlives its server: volumes of block storage and reserved addresses are never ours, a further local disk is where
//! its tags say so. When to end one is decided by the callers.

use super::schema::{Server, Volume};
use super::{Error, ErrorKind, NAME, OF_DISK, Scaleway, absent_is_fine, instance, labels_of, server_path};
use crate::http::{Http, Random, Request};
use crate::labels::{DEPLOYMENT, VM};
use crate::providers::Power;

/// Looks at a server that is on its way, and the pause between them.
const LOOKS: u32 = 8;
const LOOK_PAUSE_MS: u32 = 1500;
/// When to come again for one that takes longer, seconds.
const STILL_MOVING_SECS: u32 = 15;

impl Scaleway {
    /// Deletes a server that is switched off; a running one is refused.
    pub fn delete_request(&self, native: &str) -> Request {
        self.delete_path_request(&server_path(native))
    }

    /// Deletes a server with its own disk; that it is gone already is success. One that is still on its way is an error that asks
    /// for another try.
    pub async fn delete<H: Http + Random>(&self, host: &H, native: &str) -> Result<(), Error> {
        let mut is_switched_off = false;
        let mut may_terminate = true;
        for look in 0..LOOKS {
            if look > 0 {
                host.sleep_ms(LOOK_PAUSE_MS).await;
            }
            let Some(server) = self.server(host, native).await? else { return Ok(()) };
            let allows = |action: &str| server.allowed_actions.iter().any(|it| it == action);
            if may_terminate && allows("terminate") && !has_anothers_disk(&server) {
                match self.send(host, self.action_request(native, "terminate")).await {
                    Ok(_) => return Ok(()),
                    Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
                    // Somebody else acts on it: the next look shows what came of that.
                    Err(error) if error.kind == ErrorKind::Locked => {}
                    // Some servers with block storage are refused: the other way is open to them.
                    Err(error) if matches!(error.kind, ErrorKind::Invalid | ErrorKind::Conflict) => {
                        may_terminate = false;
                    }
                    Err(error) => return Err(error),
                }
            } else if server.state == "stopped" {
                self.tag_disks(host, &server).await?;
                match absent_is_fine(self.send(host, self.delete_request(native)).await) {
                    Ok(()) => return self.delete_disks(host, &server).await,
                    Err(error) if error.kind == ErrorKind::Locked => {}
                    Err(error) => return Err(error),
                }
            } else if !is_switched_off && (allows("poweroff") || server.state == "stopped in place") {
                match absent_is_fine(self.send(host, self.power_request(native, Power::Cut)).await) {
                    Ok(()) => is_switched_off = true,
                    Err(error) if error.kind == ErrorKind::Locked => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let mut error = Error::new(NAME, ErrorKind::Locked, "is still changing the server's state");
        error.retry_after_secs = Some(STILL_MOVING_SECS);
        Err(error)
    }

    /// Deletes what something else may use for a moment still; that it is gone already is success.
    pub(super) async fn delete_when_free<H: Http + Random>(&self, host: &H, path: &str) -> Result<(), Error> {
        let mut look = 1;
        loop {
            match absent_is_fine(self.send(host, self.delete_path_request(path)).await) {
                Err(error) if error.kind == ErrorKind::Locked && look < LOOKS => {}
                outcome => return outcome,
            }
            look += 1;
            host.sleep_ms(LOOK_PAUSE_MS).await;
        }
    }

    /// Tags what a DELETE leaves, as far as it was not at its creation: it is a leftover then, whatever happens in between.
    async fn tag_disks<H: Http + Random>(&self, host: &H, server: &Server) -> Result<(), Error> {
        let mut labels = labels_of(&server.tags);
        labels.retain(|key, _| OF_DISK.contains(&key.as_str()));
        for disk in own_disks(server).filter(|it| !is_tagged(server, it)) {
            absent_is_fine(self.send(host, self.tag_request(&disk_path(server, disk), &labels)).await)?;
        }
        Ok(())
    }

    async fn delete_disks<H: Http + Random>(&self, host: &H, server: &Server) -> Result<(), Error> {
        for disk in own_disks(server) {
            self.delete_when_free(host, &disk_path(server, disk)).await?;
        }
        Ok(())
    }
}

fn disk_path(server: &Server, disk: &Volume) -> String {
    instance(&server.zone, &format!("/volumes/{}", disk.id))
}

/// The local disk that a server was made with, and those whose tags name the same VM.
fn own_disks(server: &Server) -> impl Iterator<Item = &Volume> {
    local_disks(server).filter(|(place, it)| *place == "0" || is_tagged(server, it)).map(|(_, it)| it)
}

/// `terminate` would take it along.
fn has_anothers_disk(server: &Server) -> bool {
    local_disks(server).count() > own_disks(server).count()
}

fn local_disks(server: &Server) -> impl Iterator<Item = (&str, &Volume)> {
    let disks = server.volumes.iter().filter(|(_, it)| it.kind == "l_ssd");
    disks.map(|(place, it)| (place.as_str(), it))
}

fn is_tagged(server: &Server, disk: &Volume) -> bool {
    let (ours, its) = (labels_of(&server.tags), labels_of(&disk.tags));
    [DEPLOYMENT, VM].iter().all(|key| its.get(*key).is_some_and(|it| ours.get(*key) == Some(it)))
}
