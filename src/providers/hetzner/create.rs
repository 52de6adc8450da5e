//! Creation at Hetzner: key and firewall before, the server, the labels of its addresses afterwards. The order of the
//! steps and what becomes of failures is in `creation`.

use super::schema::{CreateServer, FirewallRef, PublicNetRequest, UpdatePrimaryIp};
use super::shared::{Shared, shared_vanished};
use super::{Error, Hetzner, NAME, ParsedServer, as_map, parse_server};
use crate::http::{Host, Method, Request};
use crate::labels::{LabelSet, Selector, VM};
use crate::model::{ProviderName, Vm};
use crate::providers::creation::{Rendered, Steps};
use crate::providers::{Offer, Plan, RateBudget, Source};

/// What a server needs before it is created.
pub(in crate::providers) struct Prepared {
    key: Shared<String>,
    firewall: Shared<()>,
}

impl Hetzner {
    /// Creates a server in one place. Ids go as strings, as the specification has them.
    fn create_request<R>(
        &self,
        plan: &Plan<'_, R>,
        offer: &Offer,
        rendered: &Rendered,
        prepared: &Prepared,
    ) -> Request {
        let body = CreateServer {
            name: plan.name,
            server_type: &offer.server_type,
            // Both by name and by id, as strings.
            image: match plan.source {
                Source::Image(image) => image.as_str(),
                Source::Snapshot(native) => native,
            },
            location: &offer.location,
            ssh_keys: [&prepared.key.value],
            user_data: &rendered.user_data,
            labels: as_map(&rendered.labels),
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

impl Steps for Hetzner {
    type Needs = Prepared;
    type Server = ParsedServer;

    const NAME: ProviderName = NAME;

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

    fn renewed(before: Prepared, again: Prepared) -> Prepared {
        fn keep<T>(before: &Shared<T>, mut now: Shared<T>) -> Shared<T> {
            now.is_new |= before.is_new && before.id == now.id;
            now
        }
        Prepared { key: keep(&before.key, again.key), firewall: keep(&before.firewall, again.firewall) }
    }

    fn needs_vanished(error: &Error) -> bool {
        shared_vanished(error)
    }

    async fn place<H: Host, R>(
        &self,
        host: &H,
        plan: &Plan<'_, R>,
        offer: &Offer,
        rendered: &Rendered,
        needs: &Prepared,
    ) -> Result<ParsedServer, Error> {
        let request = self.create_request(plan, offer, rendered, needs);
        parse_server(&self.send_once(host, request).await?)
    }

    async fn read<H: Host>(&self, host: &H, native: &str) -> Result<ParsedServer, Error> {
        parse_server(&self.send(host, self.get_server_request(native)).await?)
    }

    async fn list<H: Host>(
        &self,
        host: &H,
        selector: &Selector,
        sink: impl FnMut(&Vm<'_>),
    ) -> Result<RateBudget, Error> {
        self.for_each(host, selector, sink).await
    }

    async fn finish<H: Host>(
        &self,
        host: &H,
        server: ParsedServer,
        rendered: &Rendered,
    ) -> Result<(Vm<'static>, Vec<String>), Error> {
        let warnings = self.label_addresses(host, &server, &rendered.labels).await;
        Ok((server.vm, warnings))
    }

    async fn take_back<H: Host>(&self, host: &H, needs: &Prepared) {
        self.take_back_key(host, &needs.key).await;
        self.take_back_firewall(host, &needs.firewall).await;
    }
}

fn is_address_label(key: &str) -> bool {
    use crate::labels::{DEPLOYMENT, MANAGED_BY, OWNER};
    [MANAGED_BY, DEPLOYMENT, VM, OWNER].contains(&key)
}
