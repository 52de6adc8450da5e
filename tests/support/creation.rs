//! The calls of a creation at Hetzner, one after the other, and what the counted randomness makes of ids and names.

use mayfly::encoding::base32;
use mayfly::keys::SigningKey;
use mayfly::name;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::fixtures::Server;
use super::script::{Exchange, get, post, put};
use super::world::{NOW_SECS, REPO_URL, SSH_KEY, keyring, list_of, selector};

/// MD5 of the key's blob: `list_ssh_keys.registered` has the same.
pub(crate) const FINGERPRINT: &str = "2a:01:8c:37:00:5e:60:aa:6f:e0:4a:83:76:65:35:00";
/// The first draws of a call without `cf-ray`: the request id, the VM's id, the name's letters.
const VM_DRAW: u64 = 2;
const NAME_DRAW: u64 = 3;

/// The n-th draw of the tests' host.
pub(crate) fn draw(number: u64) -> [u8; 32] {
    Sha256::digest(number.to_be_bytes()).into()
}

/// The id that the VM of a host's first call gets.
pub(crate) fn vm_id() -> String {
    base32(&draw(VM_DRAW)[..16])
}

/// The generated name; `further` counts the names that were taken.
pub(crate) fn generated_name(further: u64) -> String {
    let [a, b, c, d, ..] = draw(NAME_DRAW + further);
    name::generate("Hello-World", [a, b, c, d])
}

/// The body of most creations.
pub(crate) fn request() -> Value {
    json!({"repo_url": REPO_URL, "ssh_public_key": format!("{SSH_KEY} ann@laptop")})
}

pub(crate) fn signer() -> SigningKey {
    keyring().signer().clone()
}

/// Types, places and prices.
pub(crate) fn catalogue() -> Vec<Exchange> {
    vec![
        get("/server_types?page=1&per_page=50").fixture(200, "list_server_types.catalogue"),
        get("/locations?per_page=50").fixture(200, "list_locations.all"),
        get("/pricing").fixture(200, "get_pricing.eur"),
    ]
}

pub(crate) fn find_key() -> Exchange {
    get(format!("/ssh_keys?fingerprint={FINGERPRINT}"))
}

pub(crate) fn find_firewall() -> Exchange {
    get(format!("/firewalls?name=mayfly-mayfly&label_selector={}", selector(&[])))
}

/// Key and firewall are there.
pub(crate) fn prepared() -> Vec<Exchange> {
    vec![
        find_key().fixture(200, "list_ssh_keys.registered"),
        find_firewall().fixture(200, "list_firewalls.ours"),
    ]
}

/// Neither is there; both are made.
pub(crate) fn preparing() -> Vec<Exchange> {
    vec![
        find_key().fixture(200, "list_ssh_keys.empty"),
        find_firewall().fixture(200, "list_firewalls.empty"),
        post("/ssh_keys").fixture(201, "create_ssh_key.created"),
        post("/firewalls").fixture(201, "create_firewall.created"),
    ]
}

/// What the rollback of [`preparing`] deletes.
pub(crate) fn taken_back() -> Vec<Exchange> {
    vec![
        super::script::delete("/ssh_keys/2324").answers(204, ""),
        super::script::delete("/firewalls/39").answers(204, ""),
    ]
}

/// The server that a creation makes, with the name and labels that were asked for.
pub(crate) fn made_from(request: &Value) -> Server {
    Server::created().set("name", request["name"].clone()).set("labels", request["labels"].clone())
}

/// A creation that succeeds.
pub(crate) fn create_server() -> Exchange {
    post("/servers").computes(201, |request| made_from(request).creation())
}

/// The addresses' ids are read and both addresses labelled.
pub(crate) fn address_ids() -> Exchange {
    get("/servers/4711").gives(200, &Server::ours().one())
}

pub(crate) fn addresses() -> Vec<Exchange> {
    vec![
        put("/primary_ips/901").fixture(200, "update_primary_ip.labelled"),
        put("/primary_ips/902").fixture(200, "update_primary_ip.labelled"),
    ]
}

/// A creation that is asked for nothing unusual and meets nothing unusual.
pub(crate) fn smooth() -> super::script::Script {
    super::script::Script::new()
        .side_by_side(catalogue())
        .side_by_side(prepared())
        .then(create_server())
        .then(address_ids())
        .side_by_side(addresses())
}

/// The look for a server whose creation was not answered.
pub(crate) fn look_for_lost() -> Exchange {
    get(list_of("servers", &[("mayfly-vm", &vm_id())], 1))
}

/// The labels that such a server carries.
pub(crate) fn labels_of_created(vm: &str, name_of_body: &Value) -> Value {
    let mut labels = json!({
        "managed-by": "mayfly",
        "mayfly-deployment": "mayfly",
        "mayfly-vm": vm,
        "mayfly-owner": "default",
        "mayfly-phase": "booting",
        "mayfly-active": NOW_SECS.to_string(),
        "mayfly-idle": "30",
        "mayfly-expires": (NOW_SECS + 12 * 3600).to_string(),
        "mayfly-price": "11424.EUR",
        "mayfly-profile": "coding",
        "mayfly-ui": "cloudcli",
        "mayfly-size": "medium",
        "mayfly-key": "k1",
        "mayfly-run": "12",
        "mayfly-repo": "0github.com_socto_sHello-World0",
    });
    for (key, value) in name_of_body.as_object().into_iter().flatten() {
        labels[key] = value.clone();
    }
    labels
}

/// A server that the first call of a host made, as a listing shows it.
pub(crate) fn lost_and_found() -> Server {
    Server::ours()
        .set("name", generated_name(0))
        .set("created", "2026-11-20T10:00:00Z")
        .set("labels", labels_of_created(&vm_id(), &json!({})))
}

/// A private key in OpenSSH's format, of nobody: with the name of its cipher, and lines that end in `end`.
pub(crate) fn private_key(cipher: &str, end: &str) -> String {
    use base64::Engine as _;
    let length = u32::try_from(cipher.len()).expect("short").to_be_bytes();
    let blob = [b"openssh-key-v1\0", &length[..], cipher.as_bytes(), &[7; 180]].concat();
    let body = base64::engine::general_purpose::STANDARD.encode(blob);
    let lines: Vec<_> =
        body.as_bytes().chunks(70).map(|it| std::str::from_utf8(it).expect("ASCII")).collect();
    format!(
        "-----BEGIN OPENSSH PRIVATE KEY-----{end}{}{end}-----END OPENSSH PRIVATE KEY-----{end}",
        lines.join(end)
    )
}
