//! Public SSH keys as vendors know them: by the MD5 of their blob.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest, Md5};

/// `type blob [comment]`; the blob starts with its own type's name.
pub(crate) fn fingerprint(public_key: &str) -> Option<String> {
    let mut words = public_key.split_whitespace();
    let (kind, blob) = (words.next()?, words.next()?);
    let blob = BASE64_STANDARD.decode(blob).ok()?;
    let (length, rest) = blob.split_first_chunk::<4>()?;
    let inner = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    if inner != kind.as_bytes() {
        return None;
    }
    let pairs: Vec<String> = Md5::digest(&blob).iter().map(|byte| format!("{byte:02x}")).collect();
    Some(pairs.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fingerprint that `ssh-keygen -E md5 -lf` prints for this key.
    #[test]
    fn the_fingerprint_is_ssh_keygens() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICWdWq42sptM/kYO7/5ADj7XtlhaY888WUWvO7UDD73I me@here";
        assert_eq!(fingerprint(key).as_deref(), Some("c3:d7:01:f0:d2:c2:0d:9f:da:b1:04:f0:83:9e:ff:2c"));
    }

    #[test]
    fn what_is_no_key_has_no_fingerprint() {
        for text in
            ["", "ssh-ed25519", "ssh-ed25519 !!!", "ssh-ed25519 AAAA", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAA"]
        {
            assert_eq!(fingerprint(text), None, "{text}");
        }
    }
}
