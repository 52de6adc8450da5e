//! Creation at Hetzner: key and firewall, then one placement after the other until one is accepted, then the labels of
//! the addresses. What was made before a failure is taken back; a server whose answer was lost is found by its label.

use super::schema::{CreateServer, FirewallRef, PublicNetRequest, UpdatePrimaryIp};
use super::shared::{Shared, shared_vanished};
use super::{Error, ErrorKind, Hetzner, NAME, ParsedServer, as_map, parse_server};
use crate::http::{Host, Method, Request};
use crate::labels::{LabelSet, VM};
use crate::providers::{Attempt, Created, Offer, Plan};

/// How often a lost server is looked for, and the first pause, which doubles.
const LOOKUPS: u32 = 3;
const LOOKUP_PAUSE_MS: u32 = 500;

/// What a server needs before it is created.
struct Prepared {
    key: Shared<String>,
    firewall: Shared<()>,
}

impl Prepared {
    /// After a second look: what the first made and the second found again is still this call's to take back.
    fn renewed(self, again: Self) -> Self {
        fn keep<T>(before: &Shared<T>, mut now: Shared<T>) -> Shared<T> {
            now.is_new |= before.is_new && before.id == now.id;
            now
        }
        Self { key: keep(&self.key, again.key), firewall: keep(&self.firewall, again.firewall) }
    }
}

impl Hetzner {
    /// Creates a server in one place. Ids go as strings, as the specification has them.
    fn create_request<R>(
        &self,
        plan: &Plan<'_, R>,
        offer: &Offer,
        labels: &LabelSet,
        user_data: &str,
        prepared: &Prepared,
    ) -> Request {
        let body = CreateServer {
            name: plan.name,
            server_type: &offer.server_type,
            image: plan.image.as_str(),
            location: &offer.location,
            ssh_keys: [&prepared.key.value],
            user_data,
            labels: as_map(labels),
            firewalls: [FirewallRef { firewall: prepared.firewall.id }],
            public_net: PublicNetRequest { enable_ipv4: true, enable_ipv6: true },
            start_after_create: true,
        };
        self.json_request(Method::Post, "/servers", &body)
    }

    /// Labels an address that came with a server and sets it to go with it: Hetzner makes them without labels.
    fn label_address_request(&self, id: u64, labels: &LabelSet) -> Request {
        let body = UpdatePrimaryIp { auto_delete: true, labels: as_map(labels) };
        self.json_request(Method::Put, &format!("/primary_ips/{id}"), &body)
    }

    /// Creates a VM and what it needs.
    pub async fn create<H: Host, R>(
        &self,
        host: &H,
        plan: &Plan<'_, R>,
    ) -> Result<Created, (Error, Vec<Attempt>)>
    where
        R: Fn(&Offer) -> (LabelSet, String),
    {
        let mut attempts = Vec::new();
        let mut prepared = self.prepare(host, plan).await.map_err(|error| (error, Vec::new()))?;
        let mut last =
            Error::new(NAME, ErrorKind::Capacity, "offers no server type of this size there at the moment");
        let mut prepared_again = false;
        let mut offers = plan.offers.iter().peekable();
        while let Some(offer) = offers.peek().copied() {
            let (labels, user_data) = (plan.render)(offer);
            let answer =
                self.send_once(host, self.create_request(plan, offer, &labels, &user_data, &prepared)).await;
            let answer = answer.and_then(|response| parse_server(&response).map(|it| (it, "created")));
            let answer = match answer {
                Err(error) if error.kind.may_have_acted() => self.find_lost(host, plan, &labels, error).await,
                answer => answer,
            };
            let mut attempt = |outcome| {
                attempts.push(Attempt {
                    server_type: offer.server_type.clone(),
                    location: offer.location.clone(),
                    outcome,
                });
            };
            match answer {
                Ok((server, outcome)) => {
                    attempt(outcome);
                    let warnings = self.label_addresses(host, &server, &labels).await;
                    return Ok(Created { vm: server.vm, attempts, warnings });
                }
                Err(error) if shared_vanished(&error) && !prepared_again => {
                    prepared_again = true;
                    match self.prepare(host, plan).await {
                        Ok(again) => prepared = prepared.renewed(again),
                        Err(error) => {
                            self.take_back(host, &prepared).await;
                            return Err((error, attempts));
                        }
                    }
                }
                Err(error) => {
                    attempt(error.kind.code());
                    let next_place = error.kind == ErrorKind::Capacity;
                    last = error;
                    if !next_place {
                        break;
                    }
                    offers.next();
                }
            }
        }
        self.take_back(host, &prepared).await;
        Err((last, attempts))
    }

    async fn prepare<H: Host, R>(&self, host: &H, plan: &Plan<'_, R>) -> Result<Prepared, Error> {
        let key = self.ensure_ssh_key(host, plan.ssh_key, &plan.shared_labels);
        let firewall = self.ensure_firewall(host, plan.deployment, &plan.shared_labels);
        match futures_util::future::join(key, firewall).await {
            (Ok(key), Ok(firewall)) => Ok(Prepared { key, firewall }),
            (Ok(key), Err(error)) => {
                self.take_back_key(host, &key).await;
                Err(error)
            }
            (Err(error), Ok(firewall)) => {
                self.take_back_firewall(host, &firewall).await;
                Err(error)
            }
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// Deletes what this call made. What cannot be deleted now has our labels: the reaper finds it.
    async fn take_back<H: Host>(&self, host: &H, prepared: &Prepared) {
        self.take_back_key(host, &prepared.key).await;
        self.take_back_firewall(host, &prepared.firewall).await;
    }

    async fn take_back_key<H: Host>(&self, host: &H, key: &Shared<String>) {
        if key.is_new && self.delete_shared(host, &format!("/ssh_keys/{}", key.id)).await.is_err() {
            host.log(r#"{"event":"rollback_failed","kind":"ssh_key"}"#);
        }
    }

    async fn take_back_firewall<H: Host>(&self, host: &H, firewall: &Shared<()>) {
        if firewall.is_new && self.delete_shared(host, &format!("/firewalls/{}", firewall.id)).await.is_err()
        {
            host.log(r#"{"event":"rollback_failed","kind":"firewall"}"#);
        }
    }

    /// Looks for a server whose creation was not answered, by the identity label that only it can carry.
    async fn find_lost<H: Host, R>(
        &self,
        host: &H,
        plan: &Plan<'_, R>,
        labels: &LabelSet,
        error: Error,
    ) -> Result<(ParsedServer, &'static str), Error> {
        for look in 0..LOOKUPS {
            host.sleep_ms(LOOKUP_PAUSE_MS << look).await;
            let mut native = None;
            let identity = labels.iter().find(|(key, _)| key == VM).map(|(_, value)| value.as_str());
            let listed = self.for_each(host, &plan.identity, |vm| {
                // What is sent beside the one that was asked for is somebody else's.
                if vm.labels.belongs_to(plan.deployment) && Some(vm.labels.vm.as_ref()) == identity {
                    native = Some(vm.id.native.clone());
                }
            });
            let listed = listed.await;
            if let (Ok(_), Some(native)) = (listed, native) {
                // Read again by id: the listing's answer is gone, and the addresses' ids are wanted.
                let answer = self.send(host, self.get_server_request(&native)).await?;
                return parse_server(&answer).map(|it| (it, "adopted"));
            }
        }
        Err(error)
    }

    /// An address without label would still go with its server; so a failure here is a warning.
    async fn label_addresses<H: Host>(
        &self,
        host: &H,
        server: &ParsedServer,
        labels: &LabelSet,
    ) -> Vec<String> {
        let mut ids = server.primary_ips.clone();
        if ids.len() < 2 {
            // The answer to a creation may leave the ids out.
            let again = self.send(host, self.get_server_request(&server.vm.id.native)).await;
            if let Ok(again) = again.and_then(|it| parse_server(&it)) {
                ids = again.primary_ips;
            }
        }
        if ids.is_empty() {
            return vec!["the server's addresses could not be read, so they carry no label".into()];
        }
        let ours: LabelSet = labels.iter().filter(|(key, _)| is_address_label(key)).cloned().collect();
        let requests = ids.into_iter().map(|id| self.send(host, self.label_address_request(id, &ours)));
        let answers = crate::providers::side_by_side(requests).await;
        answers
            .into_iter()
            .filter_map(Result::err)
            .map(|it| format!("an address could not be labelled: {}", it.sentence()))
            .collect()
    }
}

fn is_address_label(key: &str) -> bool {
    use crate::labels::{DEPLOYMENT, MANAGED_BY, OWNER};
    [MANAGED_BY, DEPLOYMENT, VM, OWNER].contains(&key)
}
