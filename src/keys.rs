//! What the signing key gives: capabilities of VMs, sealed secrets, passwords, sign-in links, fingerprints. Each has a
//! purpose of its own in the derivation, so that no output of one can serve as another. Who may use them is decided in
//! `api::auth`.

mod sealed;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::encoding::{base32, base64url, from_base64url};
use crate::secret::Secret;

pub use sealed::SEALED;

/// Fewest characters of a signing key: 32 of base64 carry 192 bits.
pub const KEY_MIN_CHARS: usize = 32;
/// How long a sign-in link works, seconds.
pub const LINK_LIFE_SECS: u64 = 60;
const NONCE_BYTES: usize = 12;
/// What the key derives for that closes secrets for a VM.
const FOR_VM: &str = "seal";
/// First part of every capability: its format.
const CAPABILITY: &str = "mfc1";

/// Signing keys with their ids: the first signs, all verify.
#[derive(Clone, Debug)]
pub struct Keyring(Vec<SigningKey>);

/// One signing key.
#[derive(Clone, Debug)]
pub struct SigningKey {
    id: String,
    key: Secret,
}

/// What a capability is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Root on the VM: boot exchange, progress, heartbeat, delete.
    Vm,
    /// Write backups of one workspace.
    Backup,
    /// Remove old backups of one workspace.
    Prune,
    /// Ask the model, nothing else; the only one that enters a container.
    Agent,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Vm, Self::Backup, Self::Prune, Self::Agent];
}

/// What a capability says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Deployment that signed it.
    #[serde(rename = "d")]
    pub deployment: String,
    /// The VM's random id.
    #[serde(rename = "v")]
    pub vm: String,
    /// Provider of the placement attempt.
    #[serde(rename = "p")]
    pub provider: String,
    /// Region or location of the placement attempt.
    #[serde(rename = "r")]
    pub region: String,
    /// What it is good for.
    #[serde(rename = "s")]
    pub scope: Scope,
    /// End of its life, Unix seconds; `vm` has none, its VM's labels decide.
    #[serde(rename = "x", skip_serializing_if = "Option::is_none", default)]
    pub expires_secs: Option<u64>,
    /// The one workspace whose backups it opens, as `backup::workspace` names it; empty where it opens none. That of a `vm`
    /// is the one it asks for, where its labels may not tell.
    #[serde(rename = "w", skip_serializing_if = "String::is_empty", default)]
    pub workspace: String,
    /// In whose name an `agent` asks the model; empty in all others.
    #[serde(rename = "o", skip_serializing_if = "String::is_empty", default)]
    pub owner: String,
}

/// What a sign-in link says.
#[derive(Serialize)]
struct LinkClaims<'a> {
    vm: &'a str,
    exp: u64,
    n: String,
}

impl Keyring {
    /// Reads `kid:key,kid:key`. The error is a sentence for whoever configures the Worker.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys: Vec<SigningKey> = Vec::new();
        for (index, pair) in text.split(',').map(str::trim).enumerate() {
            let (id, key) = pair
                .split_once(':')
                .ok_or_else(|| format!("entry {} must have the form kid:key", index + 1))?;
            let id_fits = (1..=16).contains(&id.len()) && id.bytes().all(|it| it.is_ascii_alphanumeric());
            if !id_fits {
                return Err(format!(
                    "entry {} needs a key id of 1 to 16 letters and digits before the colon",
                    index + 1
                ));
            }
            if key.len() < KEY_MIN_CHARS {
                return Err(format!(
                    "key '{id}' has fewer than {KEY_MIN_CHARS} characters; `npm run setup` makes one"
                ));
            }
            if keys.iter().any(|it| it.id == id) {
                return Err(format!("key id '{id}' stands twice"));
            }
            keys.push(SigningKey { id: id.to_owned(), key: Secret::new(key) });
        }
        Ok(Self(keys))
    }

    /// The key that signs.
    pub fn signer(&self) -> &SigningKey {
        // `parse` splits into at least one entry and refuses an empty one.
        &self.0[0]
    }

    /// The key of an id, for what an earlier signer made.
    pub fn find(&self, id: &str) -> Option<&SigningKey> {
        self.0.iter().find(|it| it.id == id)
    }

    /// Checks a capability's signature and life. Whether its VM exists is for the provider to say.
    pub fn verify(&self, token: &str, deployment: &str, now_secs: u64) -> Option<(Claims, &SigningKey)> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (format, rest) = signed.split_once('.')?;
        let (key_id, claims) = rest.split_once('.')?;
        let key = self.find(key_id)?;
        if format != CAPABILITY {
            return None;
        }
        key.mac("capability", &[signed.as_bytes()]).verify_slice(&from_base64url(signature)?).ok()?;
        let claims: Claims = serde_json::from_slice(&from_base64url(claims)?).ok()?;
        let alive = claims.expires_secs.is_none_or(|it| now_secs < it);
        (claims.deployment == deployment && alive).then_some((claims, key))
    }

    /// Opens what [`SigningKey::seal`] closed for the same deployment and VM.
    pub fn open(&self, sealed: &str, deployment: &str, vm: &str) -> Option<Vec<u8>> {
        let (key_id, ciphertext) = sealed.split_once('.')?;
        let ciphertext = from_base64url(ciphertext)?;
        let (nonce, ciphertext) = ciphertext.split_at_checked(NONCE_BYTES)?;
        let nonce = Nonce::try_from(nonce).ok()?;
        let aad = associated(deployment, vm);
        self.find(key_id)?.cipher(FOR_VM).decrypt(&nonce, Payload { msg: ciphertext, aad: &aad }).ok()
    }
}

impl SigningKey {
    /// The key's id: what labels and tokens name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Signs a capability.
    pub fn sign(&self, claims: &Claims) -> String {
        // A struct of strings and numbers always serialises.
        let claims = serde_json::to_vec(claims).unwrap_or_default();
        let signed = format!("{CAPABILITY}.{}.{}", self.id, base64url(&claims));
        let signature = self.mac("capability", &[signed.as_bytes()]).finalize().into_bytes();
        format!("{signed}.{}", base64url(&signature))
    }

    /// Encrypts with AES-256-GCM (NIST SP 800-38D), bound to deployment and VM. `nonce` must be random.
    pub fn seal(&self, plain: &[u8], deployment: &str, vm: &str, nonce: [u8; NONCE_BYTES]) -> String {
        let aad = associated(deployment, vm);
        // Fails only past 64 GiB.
        let ciphertext = self
            .cipher(FOR_VM)
            .encrypt(&Nonce::from(nonce), Payload { msg: plain, aad: &aad })
            .unwrap_or_default();
        format!("{}.{}", self.id, base64url(&[nonce.as_slice(), &ciphertext].concat()))
    }

    /// The VM's password: derived, so that nothing needs to store it. 96 bits in four groups.
    pub fn password(&self, vm: &str) -> Secret {
        let text = base32(&self.derive("password", &[vm.as_bytes()])[..12]);
        let groups = [&text[..5], &text[5..10], &text[10..15], &text[15..]];
        Secret::new(groups.join("-"))
    }

    /// The key with which this VM checks sign-in links, and nobody else's.
    pub fn link_key(&self, vm: &str) -> [u8; 32] {
        self.derive("link", &[vm.as_bytes()])
    }

    /// A sign-in link's token for one VM: `base64url(claims).base64url(HMAC-SHA256(link key, claims part))`.
    pub fn link(&self, vm: &str, now_secs: u64, nonce: [u8; 16]) -> String {
        let claims = LinkClaims { vm, exp: now_secs + LINK_LIFE_SECS, n: base64url(&nonce) };
        let claims = base64url(&serde_json::to_vec(&claims).unwrap_or_default());
        let mut mac = hmac(&self.link_key(vm));
        mac.update(claims.as_bytes());
        format!("{claims}.{}", base64url(&mac.finalize().into_bytes()))
    }

    /// Keyed fingerprint that a label can hold: 26 characters.
    pub fn fingerprint(&self, purpose: &str, parts: &[&[u8]]) -> String {
        base32(&self.derive(purpose, parts)[..16])
    }

    /// 32 bytes for one purpose and its inputs.
    pub fn derive(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        self.mac(purpose, parts).finalize().into_bytes().into()
    }

    fn mac(&self, purpose: &str, parts: &[&[u8]]) -> Hmac<Sha256> {
        mac(self.key.expose().as_bytes(), purpose, parts)
    }

    fn cipher(&self, purpose: &str) -> Aes256Gcm {
        Aes256Gcm::new(&self.derive(purpose, &[]).into())
    }
}

/// What another key than a signing one gives for one purpose and its inputs.
pub(crate) fn derive(key: &[u8], purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
    mac(key, purpose, parts).finalize().into_bytes().into()
}

fn mac(key: &[u8], purpose: &str, parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = hmac(key);
    // Lengths go in, so that no two lists of parts feed the same bytes.
    for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac
}

/// HMAC takes keys of every length (RFC 2104 section 2).
fn hmac(key: &[u8]) -> Hmac<Sha256> {
    <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes keys of every length")
}

fn associated(deployment: &str, vm: &str) -> Vec<u8> {
    [deployment.as_bytes(), &[0], vm.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OLD: &str = "a:0123456789abcdef0123456789abcdef";
    const NEW: &str = "b:fedcba9876543210fedcba9876543210";

    fn ring(text: &str) -> Keyring {
        Keyring::parse(text).expect("a valid keyring")
    }

    fn claims(scope: Scope) -> Claims {
        Claims {
            deployment: "mayfly".into(),
            vm: "vm1".into(),
            provider: "hetzner".into(),
            region: "fsn1".into(),
            scope,
            expires_secs: None,
            workspace: String::new(),
            owner: String::new(),
        }
    }

    #[test]
    fn capabilities_outlive_a_rotation_and_nothing_else() {
        let token = ring(OLD).signer().sign(&claims(Scope::Vm));
        assert_eq!(ring(OLD).verify(&token, "mayfly", 0).map(|it| it.0), Some(claims(Scope::Vm)));
        assert!(ring(&format!("{NEW},{OLD}")).verify(&token, "mayfly", 0).is_some());
        assert!(ring(NEW).verify(&token, "mayfly", 0).is_none(), "the key is gone");
        assert!(ring(OLD).verify(&token, "other", 0).is_none(), "another deployment");
        let same_id = "a:ffffffffffffffffffffffffffffffff";
        assert!(ring(same_id).verify(&token, "mayfly", 0).is_none(), "another key of the same id");
    }

    #[test]
    fn capabilities_end_when_they_say() {
        let brief = Claims { expires_secs: Some(100), ..claims(Scope::Backup) };
        let token = ring(OLD).signer().sign(&brief);
        assert!(ring(OLD).verify(&token, "mayfly", 99).is_some());
        assert!(ring(OLD).verify(&token, "mayfly", 100).is_none());
    }

    #[test]
    fn every_changed_character_spoils_a_capability() {
        let ring = ring(OLD);
        let token = ring.signer().sign(&claims(Scope::Agent));
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            // The last character of base64 carries bits that are not used; decoding refuses those that are set.
            assert!(ring.verify(&changed, "mayfly", 0).is_none(), "character {at}");
        }
    }

    #[test]
    fn sealed_secrets_open_for_their_vm_alone() {
        let sealed = ring(OLD).signer().seal(b"key", "mayfly", "vm1", [7; 12]);
        assert!(!sealed.contains(&base64url(b"key")));
        assert_eq!(
            ring(&format!("{NEW},{OLD}")).open(&sealed, "mayfly", "vm1").as_deref(),
            Some(b"key".as_slice())
        );
        assert_eq!(ring(OLD).open(&sealed, "mayfly", "vm2"), None);
        assert_eq!(ring(OLD).open(&sealed, "other", "vm1"), None);
        assert_eq!(ring(NEW).open(&sealed, "mayfly", "vm1"), None);
    }

    #[test]
    fn derived_values_differ_by_vm_and_purpose() {
        let ring = ring(OLD);
        let key = ring.signer();
        assert_ne!(key.password("vm1"), key.password("vm2"));
        assert_ne!(key.link_key("vm1"), key.derive("password", &[b"vm1"]));
        assert_ne!(key.derive("p", &[b"ab", b"c"]), key.derive("p", &[b"a", b"bc"]));
        assert_eq!(key.password("vm1").expose().len(), 23);
        assert_eq!(key.fingerprint("idem", &[b"x"]).len(), 26);
    }

    #[test]
    fn keyrings_name_what_is_wrong() {
        for (text, part) in [
            ("", "kid:key"),
            ("a:short", "fewer than 32"),
            (&format!("{OLD},{OLD}"), "twice"),
            ("a b:0123456789abcdef0123456789abcdef", "key id"),
        ] {
            let why = Keyring::parse(text).expect_err(text);
            assert!(why.contains(part), "{why}");
            assert!(!why.contains("0123456789abcdef"), "no key in an error");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_no_capability_and_opens_nothing(token in "\\PC{0,120}") {
            prop_assert!(ring(OLD).verify(&token, "mayfly", 0).is_none());
            let framed = format!("mfc1.a.{token}");
            prop_assert!(ring(OLD).verify(&framed, "mayfly", 0).is_none());
            prop_assert!(ring(OLD).open(&token, "mayfly", "vm1").is_none());
            let framed = format!("a.{token}");
            prop_assert!(ring(OLD).open(&framed, "mayfly", "vm1").is_none());
        }
    }
}
