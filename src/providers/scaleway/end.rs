//! The end of a server at Scaleway, by what its `allowed_actions` say: `terminate` where it is allowed, which takes local disks
//! and the dynamic address along; else power off, wait, DELETE, and everything that a DELETE leaves behind. When to end one is
//! decided by the callers.

use super::schema::Server;
use super::{Error, ErrorKind, NAME, Scaleway, absent_is_fine, block, instance, server_path};
use crate::http::{Http, Random, Request};
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

    /// Deletes a server and what would outlive it; that it is gone already is success. One that is still on its way is an error
    /// that asks for another try.
    pub async fn delete<H: Http + Random>(&self, host: &H, native: &str) -> Result<(), Error> {
        let mut is_switched_off = false;
        let mut may_terminate = true;
        let mut terminated: Option<Server> = None;
        for look in 0..LOOKS {
            if look > 0 {
                host.sleep_ms(LOOK_PAUSE_MS).await;
            }
            let Some(server) = self.server(host, native).await? else {
                return match terminated {
                    Some(server) => self.delete_survivors(host, &server, false).await,
                    None => Ok(()),
                };
            };
            let allows = |action: &str| server.allowed_actions.iter().any(|it| it == action);
            if terminated.is_some() {
                continue;
            }
            if may_terminate && allows("terminate") {
                match self.send(host, self.action_request(native, "terminate")).await {
                    Ok(_) if !has_survivors(&server) => return Ok(()),
                    Ok(_) => terminated = Some(server),
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
                match absent_is_fine(self.send(host, self.delete_request(native)).await) {
                    Ok(()) => return self.delete_survivors(host, &server, true).await,
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

    /// Deletes disks and addresses of a server that is gone. Local disks outlive a DELETE, but not a `terminate`.
    async fn delete_survivors<H: Http + Random>(
        &self,
        host: &H,
        server: &Server,
        with_local: bool,
    ) -> Result<(), Error> {
        let zone = &server.zone;
        for volume in server.volumes.values() {
            let path = match volume.volume_type.as_str() {
                "sbs_volume" => block(zone, &format!("/volumes/{}", volume.id)),
                "l_ssd" if with_local => instance(zone, &format!("/volumes/{}", volume.id)),
                _ => continue,
            };
            absent_is_fine(self.send(host, self.delete_path_request(&path)).await)?;
        }
        for ip in server.public_ips.iter().filter(|it| !it.dynamic) {
            let path = instance(zone, &format!("/ips/{}", ip.id));
            absent_is_fine(self.send(host, self.delete_path_request(&path)).await)?;
        }
        Ok(())
    }
}

/// Whether something of a server outlives its termination.
fn has_survivors(server: &Server) -> bool {
    server.volumes.values().any(|it| it.volume_type == "sbs_volume")
        || server.public_ips.iter().any(|it| !it.dynamic)
}
