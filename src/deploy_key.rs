//! SSH private keys as users give them in a Git token's place: deploy keys. Read so far that a key which no VM could use
//! is told before anything is created. What it opens is the Git host's business; using it is the VM's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
/// What the decoded key begins with (OpenSSH, PROTOCOL.key, section 1); the name of its cipher follows, after its length.
const MAGIC: &[u8] = b"openssh-key-v1\0";
const NO_CIPHER: &[u8] = b"\0\0\0\x04none";
/// Characters per line, as `ssh-keygen` writes them.
const LINE: usize = 70;

/// Whether a text means to be a private key, whatever its format.
pub fn is_key(text: &str) -> bool {
    text.contains("PRIVATE KEY-----")
}

/// The key as OpenSSH wants its file. White space within may be lost or added: a form's field of one line drops the ends of
/// the lines. The error is a sentence for the user and never repeats the input.
pub fn normal(text: &str) -> Result<String, &'static str> {
    let body = text.trim().strip_prefix(BEGIN).and_then(|it| it.strip_suffix(END)).ok_or(
        "is a private key that is cut short or not in OpenSSH's own format; 'ssh-keygen -p -f the-file' rewrites it",
    )?;
    let body: String = body.split_ascii_whitespace().collect();
    let damaged = "is a private key that is damaged: what is between its first and last line is no key";
    let blob = STANDARD.decode(&body).map_err(|_| damaged)?;
    let rest = blob.strip_prefix(MAGIC).ok_or(damaged)?;
    if !rest.starts_with(NO_CIPHER) {
        return Err(
            "is a private key with a passphrase, which nobody could type on the VM; make one without",
        );
    }
    let mut out = format!("{BEGIN}\n");
    for line in body.as_bytes().chunks(LINE) {
        out.extend(line.iter().map(|it| char::from(*it)));
        out.push('\n');
    }
    out.push_str(END);
    out.push('\n');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As `ssh-keygen -t ed25519 -N ''` writes it, of nobody.
    fn key(cipher: &str) -> String {
        let string = |text: &[u8]| [&u32::try_from(text.len()).expect("short").to_be_bytes(), text].concat();
        let blob = [MAGIC, &string(cipher.as_bytes()), &string(b"none"), &[7; 180]].concat();
        let body = STANDARD.encode(blob);
        let lines: Vec<_> =
            body.as_bytes().chunks(LINE).map(|it| std::str::from_utf8(it).expect("ASCII")).collect();
        format!("{BEGIN}\n{}\n{END}\n", lines.join("\n"))
    }

    #[test]
    fn a_key_is_kept_as_it_is() {
        let key = key("none");
        assert!(is_key(&key));
        assert_eq!(normal(&key), Ok(key));
    }

    #[test]
    fn line_ends_may_be_lost_or_others() {
        let key = key("none");
        for other in
            [key.replace('\n', ""), key.replace('\n', "\r\n"), format!("  {}", key.replace('\n', "\n  "))]
        {
            assert_eq!(normal(&other).as_ref(), Ok(&key));
        }
    }

    #[test]
    fn what_no_vm_could_use_is_told() {
        assert!(normal(&key("aes256-ctr")).expect_err("encrypted").contains("passphrase"));
        let pem = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        assert!(is_key(pem));
        assert!(normal(pem).expect_err("not OpenSSH's").contains("ssh-keygen -p"));
        let cut = key("none");
        assert!(normal(&cut[..120]).expect_err("cut").contains("cut short"));
        assert!(normal(&cut.replacen("b3Bl", "!!!!", 1)).expect_err("damaged").contains("damaged"));
        assert!(normal(&format!("{BEGIN}\nAAAA\n{END}")).expect_err("no key").contains("damaged"));
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "(-----BEGIN OPENSSH PRIVATE KEY-----)?\\PC{0,80}(-----END OPENSSH PRIVATE KEY-----)?") {
            let _ = normal(&text);
        }
    }
}
