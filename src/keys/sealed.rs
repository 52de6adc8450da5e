//! Secrets sealed for whoever gave them: ciphertext that a browser may keep, and that opens in this deployment, for this owner
//! alone. What is sealed for a VM is `keys`' own, under another key.

use aes_gcm::Nonce;
use aes_gcm::aead::{Aead as _, Payload};

use super::{Keyring, NONCE_BYTES, SigningKey, associated};
use crate::encoding::{base64url, from_base64url};

/// How every sealed secret begins: its format, as no vendor's token does.
pub const SEALED: &str = "mfs1.";
const PURPOSE: &str = "seal for an owner";

impl SigningKey {
    /// Encrypts with AES-256-GCM (NIST SP 800-38D), bound to deployment and owner: `mfs1.<key id>.<nonce and ciphertext>`.
    /// `nonce` must be random.
    pub fn seal_for(&self, owner: &str, plain: &[u8], deployment: &str, nonce: [u8; NONCE_BYTES]) -> String {
        let aad = associated(deployment, owner);
        let payload = Payload { msg: plain, aad: &aad };
        // Fails only past 64 GiB.
        let ciphertext = self.cipher(PURPOSE).encrypt(&Nonce::from(nonce), payload).unwrap_or_default();
        format!("{SEALED}{}.{}", self.id, base64url(&[nonce.as_slice(), &ciphertext].concat()))
    }
}

impl Keyring {
    /// Opens what [`SigningKey::seal_for`] closed for the same deployment and owner, by whichever key of the ring.
    pub fn open_for(&self, owner: &str, sealed: &str, deployment: &str) -> Option<Vec<u8>> {
        let (key_id, ciphertext) = sealed.strip_prefix(SEALED)?.split_once('.')?;
        let ciphertext = from_base64url(ciphertext)?;
        let (nonce, ciphertext) = ciphertext.split_at_checked(NONCE_BYTES)?;
        let aad = associated(deployment, owner);
        let payload = Payload { msg: ciphertext, aad: &aad };
        self.find(key_id)?.cipher(PURPOSE).decrypt(&Nonce::try_from(nonce).ok()?, payload).ok()
    }
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

    #[test]
    fn it_opens_for_its_owner_here_and_after_a_rotation() {
        let sealed = ring(OLD).signer().seal_for("ann", b"key", "mayfly", [7; 12]);
        assert!(sealed.starts_with("mfs1.a.") && !sealed.contains(&base64url(b"key")), "{sealed}");
        let both = ring(&format!("{NEW},{OLD}"));
        assert_eq!(both.open_for("ann", &sealed, "mayfly").as_deref(), Some(b"key".as_slice()));
        assert!(both.signer().seal_for("ann", b"key", "mayfly", [7; 12]).starts_with("mfs1.b."));
        assert_eq!(both.open_for("bob", &sealed, "mayfly"), None);
        assert_eq!(both.open_for("ann", &sealed, "other"), None);
        assert_eq!(ring(NEW).open_for("ann", &sealed, "mayfly"), None, "the key is gone");
        let same_id = "a:ffffffffffffffffffffffffffffffff";
        assert_eq!(ring(same_id).open_for("ann", &sealed, "mayfly"), None, "another key of the same id");
    }

    #[test]
    fn what_is_sealed_for_an_owner_is_not_sealed_for_a_vm_of_that_name() {
        let key = ring(OLD);
        let for_owner = key.signer().seal_for("ann", b"key", "mayfly", [7; 12]);
        assert_eq!(key.open(for_owner.trim_start_matches(SEALED), "mayfly", "ann"), None);
        let for_vm = key.signer().seal(b"key", "mayfly", "ann", [7; 12]);
        assert_eq!(key.open_for("ann", &format!("{SEALED}{for_vm}"), "mayfly"), None);
    }

    #[test]
    fn every_changed_character_spoils_it() {
        let sealed = ring(OLD).signer().seal_for("ann", b"a secret of twenty-1", "mayfly", [7; 12]);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert_eq!(ring(OLD).open_for("ann", &changed, "mayfly"), None, "character {at}");
            assert_eq!(ring(OLD).open_for("ann", &sealed[..at], "mayfly"), None, "cut at {at}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sealed_opens_and_garbage_does_not(plain: Vec<u8>, garbage in "\\PC{0,120}") {
            let ring = ring(OLD);
            let sealed = ring.signer().seal_for("ann", &plain, "mayfly", [7; 12]);
            prop_assert_eq!(ring.open_for("ann", &sealed, "mayfly"), Some(plain));
            for garbage in [garbage.clone(), format!("mfs1.{garbage}"), format!("mfs1.a.{garbage}")] {
                prop_assert_eq!(ring.open_for("ann", &garbage, "mayfly"), None);
            }
        }
    }
}
