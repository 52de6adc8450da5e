//! SSH public keys as users give them, with the fingerprints by which providers know them. A private key is recognised
//! and refused before it goes anywhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use sha2::Sha256;

/// Longest key, characters: RSA with 16,384 bits has about 2,800.
const MAX_CHARS: usize = 4096;

const KINDS: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// One public key: kind and key, the comment left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshPublicKey {
    kind: &'static str,
    blob: Vec<u8>,
}

impl SshPublicKey {
    /// Reads one line in OpenSSH's format. The error is a sentence for the user and never repeats the input.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.contains("PRIVATE KEY") {
            return Err(
                "is a private key; give the public key, the file that ends in .pub (and replace this one: it has been shown)",
            );
        }
        if text.len() > MAX_CHARS || text.contains(['\n', '\r']) {
            return Err("must be one line of at most 4,096 characters");
        }
        let mut words = text.split_ascii_whitespace();
        let kind = words.next().unwrap_or_default();
        let kind = KINDS.into_iter().find(|it| *it == kind);
        let kind =
            kind.ok_or("must be a public key in OpenSSH's format, such as 'ssh-ed25519 AAAA… me@laptop'")?;
        let blob = words.next().and_then(|it| STANDARD.decode(it).ok());
        let blob = blob.ok_or("has no base64 key after its kind")?;
        // RFC 4253 section 6.6: the blob is a list of strings, each after its length; the first is the kind.
        let fields = strings(&blob);
        if !fields.is_some_and(|it| it.len() > 1 && it[0] == kind.as_bytes()) {
            return Err("is cut short or damaged: its key does not match its kind");
        }
        Ok(Self { kind, blob })
    }

    /// A key of which nobody has the private half, for servers that must have one so that their provider sets and mails
    /// no password. Any 32 bytes encode as an Ed25519 public key (RFC 8709 section 4).
    pub fn nobody(seed: [u8; 32]) -> Self {
        let kind = KINDS[0];
        let string =
            |bytes: &[u8]| [u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes().as_slice(), bytes].concat();
        Self { kind, blob: [string(kind.as_bytes()), string(&seed)].concat() }
    }

    /// Kind and key, one line.
    pub fn to_openssh(&self) -> String {
        format!("{} {}", self.kind, STANDARD.encode(&self.blob))
    }

    /// MD5 as `aa:bb:…`, the form in which Hetzner and DigitalOcean look keys up.
    pub fn md5_fingerprint(&self) -> String {
        hex_bytes(&Md5::digest(&self.blob)).join(":")
    }

    /// Sixteen hexadecimal digits that name the key at a provider.
    pub fn short_name(&self) -> String {
        hex_bytes(&Sha256::digest(&self.blob)[..8]).concat()
    }
}

/// The strings of a key's blob (RFC 4251 section 5), `None` where one is cut short.
fn strings(mut blob: &[u8]) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    while !blob.is_empty() {
        let (length, rest) = blob.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (string, rest) = rest.split_at_checked(length)?;
        found.push(string);
        blob = rest;
    }
    Some(found)
}

fn hex_bytes(bytes: &[u8]) -> Vec<String> {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDHGQOpuSOTyTBhrt98fEqsIRGKjt4ygN4lzdhaO4OJn";

    #[test]
    fn keys_keep_kind_and_blob_and_lose_the_comment() {
        let key = SshPublicKey::parse(&format!("  {KEY} me@laptop and more\n")).expect("a key");
        assert_eq!(key.to_openssh(), KEY);
        assert_eq!(key.md5_fingerprint().len(), 47);
        assert_eq!(key.short_name().len(), 16);
    }

    #[test]
    fn private_keys_are_refused_by_name() {
        let why = SshPublicKey::parse("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n-----END")
            .expect_err("private");
        assert!(why.contains("private key"));
        assert!(!why.contains("b3Blb"));
    }

    #[test]
    fn damaged_keys_are_refused() {
        for bad in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 !!!",
            "ssh-dss AAAA",
            &KEY[..30],
            &KEY.replace("ssh-ed25519", "ssh-rsa"),
            &format!("{KEY}\n{KEY}"),
        ] {
            assert!(SshPublicKey::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nobodys_key_is_a_key() {
        let key = SshPublicKey::nobody([9; 32]);
        assert_eq!(SshPublicKey::parse(&key.to_openssh()), Ok(key));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "(ssh-ed25519 )?\\PC{0,200}") {
            let _ = SshPublicKey::parse(&text);
        }
    }
}
