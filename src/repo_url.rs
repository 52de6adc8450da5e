//! Git URLs as users give them: what is accepted, and why the rest is refused. The URL stays data: it reaches the VM in
//! a file that is read, and git is told which protocols it may speak. Cloning is the VM's business.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest URL, characters. Longer ones would not fit into labels together with the rest.
pub const MAX_CHARS: usize = 255;

/// A git URL over https or ssh, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoUrl {
    text: String,
    host: String,
    path: String,
}

impl RepoUrl {
    /// Checks a URL: `https://host/path`, `ssh://[user@]host[:port]/path` or `user@host:path`.
    ///
    /// The error is a sentence for the user.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("is required: a Git URL such as https://github.com/owner/name");
        }
        if text.len() > MAX_CHARS {
            return Err("is longer than 255 characters");
        }
        if let Some(bad) = text.chars().find(|it| !is_allowed(*it)) {
            return Err(if bad.is_whitespace() || bad.is_control() {
                "contains white space or a control character"
            } else {
                "contains a character that no Git URL needs; letters, digits and - . _ ~ / : @ + are allowed"
            });
        }
        let (host, path) = if let Some(rest) = text.strip_prefix("https://") {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            if authority.contains('@') {
                return Err("holds a user name or password; give a credential as git_token instead");
            }
            (host_of(authority)?, path)
        } else if let Some(rest) = text.strip_prefix("ssh://") {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            (host_of(after_user(authority)?)?, path)
        } else if text.contains("://") {
            return Err("must begin with https:// or ssh://, or have the form user@host:path");
        } else {
            // git's scp-like form, git-clone(1), "GIT URLS".
            let (login, path) = text
                .split_once(':')
                .ok_or("must begin with https:// or ssh://, or have the form user@host:path")?;
            if !login.contains('@') || login.contains('/') {
                return Err("must begin with https:// or ssh://, or have the form user@host:path");
            }
            (host_of(after_user(login)?)?, path)
        };
        if path.trim_matches('/').is_empty() {
            return Err("names no repository after the host");
        }
        if path.split('/').any(|it| it == ".." || it == "." || it.starts_with('-')) {
            return Err("has a path segment that is '.', '..' or begins with '-'");
        }
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path).to_owned();
        Ok(Self { text: text.to_owned(), host, path })
    }

    /// Stands where there is no repository: on a VM that is made for its disk alone.
    pub fn none() -> Self {
        Self { text: String::new(), host: String::new(), path: String::new() }
    }

    /// The URL as given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether git speaks ssh to it.
    pub fn is_ssh(&self) -> bool {
        !self.text.is_empty() && !self.text.starts_with("https://")
    }

    /// The host, lower case, without port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path without slashes around it and without `.git`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Last path segment without `.git`: what people call the repository.
    pub fn name(&self) -> &str {
        let path = self.text.trim_end_matches('/');
        let last = path.rsplit(['/', ':']).next().unwrap_or(path);
        last.strip_suffix(".git").unwrap_or(last)
    }
}

fn is_allowed(it: char) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, '-' | '.' | '_' | '~' | '/' | ':' | '@' | '+' | '[' | ']')
}

fn after_user(authority: &str) -> Result<&str, &'static str> {
    let Some((user, host)) = authority.split_once('@') else { return Ok(authority) };
    if user.contains(':') {
        return Err("holds a password; give a credential as git_token instead");
    }
    if user.is_empty() || user.starts_with('-') {
        return Err("has a user name that is empty or begins with '-'");
    }
    Ok(host)
}

/// The host of `host[:port]`, refused where it can only mean something inside the VM's own network.
fn host_of(authority: &str) -> Result<String, &'static str> {
    const BAD_HOST: &str = "has no valid host name";
    const PRIVATE: &str = "names a private, loopback or link-local address; the host must be public";
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or(BAD_HOST)?;
        check_port(port)?;
        let address: Ipv6Addr = address.parse().map_err(|_| BAD_HOST)?;
        return if is_public(address.into()) { Ok(format!("[{address}]")) } else { Err(PRIVATE) };
    }
    let (host, port) = authority.find(':').map_or((authority, ""), |at| authority.split_at(at));
    check_port(port)?;
    let host = host.to_ascii_lowercase();
    let labels_fit = host.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
    });
    if !labels_fit || host.len() > 253 {
        return Err(BAD_HOST);
    }
    // The last label of a name is never a number (RFC 3696 section 2); resolvers read such hosts as IPv4 addresses,
    // also in the forms 0x7f.1 and 2130706433.
    let last = host.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|it| it.is_ascii_digit()) || last.starts_with("0x") {
        let address: Ipv4Addr = host.parse().map_err(|_| BAD_HOST)?;
        return if is_public(address.into()) { Ok(host) } else { Err(PRIVATE) };
    }
    if host == "localhost"
        || [".localhost", ".local", ".internal"].iter().any(|it| host.ends_with(it))
        || !host.contains('.')
    {
        return Err(PRIVATE);
    }
    Ok(host)
}

fn check_port(port: &str) -> Result<(), &'static str> {
    let valid =
        port.is_empty() || port.strip_prefix(':').is_some_and(|it| it.parse::<u16>().is_ok_and(|it| it > 0));
    valid.then_some(()).ok_or("has a port that is not a number from 1 to 65535")
}

/// Whether an address is one that the public internet routes (IANA special-purpose registries, RFC 6890).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => {
            let [a, b, ..] = it.octets();
            !(it.is_private()
                || it.is_loopback()
                || it.is_link_local()
                || it.is_unspecified()
                || it.is_multicast()
                || it.is_broadcast()
                || it.is_documentation()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0)
                || (a == 198 && (b == 18 || b == 19)))
        }
        IpAddr::V6(it) => {
            let [a, b, ..] = it.segments();
            // Only 2000::/3 is global unicast; within it 2001:db8::/32 documents, and 2002::/16 and 64:ff9b::/96 hide an
            // IPv4 address that nobody checked.
            (a & 0xe000) == 0x2000 && !(a == 0x2001 && (b == 0xdb8 || b == 0)) && a != 0x2002
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn https_ssh_and_scp_like_urls_are_understood() {
        for (url, host, name) in [
            ("https://github.com/owner/name", "github.com", "name"),
            ("https://GitHub.com/owner/name.git", "github.com", "name"),
            ("https://git.example.com:8443/group/sub/name.git/", "git.example.com", "name"),
            ("ssh://git@example.com:2222/owner/name.git", "example.com", "name"),
            ("git@github.com:owner/name.git", "github.com", "name"),
            ("git@github.com:name", "github.com", "name"),
            ("https://1.1.1.1/owner/name", "1.1.1.1", "name"),
        ] {
            let parsed = RepoUrl::parse(url).unwrap_or_else(|why| panic!("{url} {why}"));
            assert_eq!((parsed.host(), parsed.name(), parsed.as_str()), (host, name, url));
        }
    }

    #[test]
    fn what_could_be_more_than_a_url_is_refused() {
        for url in [
            "",
            "https://github.com/o/r;reboot",
            "https://github.com/o/$(reboot)",
            "https://github.com/o/`id`",
            "https://github.com/o/r\n",
            "https://github.com/o/r x",
            "https://github.com/o/\"r",
            "https://github.com/o/'r",
            "--upload-pack=touch",
            "ssh://-oProxyCommand=x/o/r",
            "ssh://-x@host.example/o/r",
            "git@host.example:-x",
            "ext::sh -c id",
            "file:///etc/passwd",
            "http://github.com/o/r",
            "git://github.com/o/r",
            "/srv/git/r",
            "./r",
            "owner/name",
            "https://user:pw@github.com/o/r",
            "https://token@github.com/o/r",
            "https://github.com",
            "https://github.com/",
            "https://github.com/../etc",
            "https:///o/r",
            "https://github.com:0/o/r",
            "https://github.com:99999/o/r",
            "https://bad..host/o/r",
        ] {
            assert!(RepoUrl::parse(url).is_err(), "{url}");
        }
        assert!(RepoUrl::parse(&format!("https://github.com/o/{}", "r".repeat(3000))).is_err());
    }

    #[test]
    fn hosts_inside_the_vms_own_network_are_refused() {
        for host in [
            "169.254.169.254",
            "127.0.0.1",
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "100.64.0.1",
            "0.0.0.0",
            "0x7f.1",
            "2130706433",
            "0x7f000001",
            "localhost",
            "metadata.google.internal",
            "printer.local",
            "intranet",
            "[::1]",
            "[fe80::1]",
            "[fd00::1]",
            "[::ffff:169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
        ] {
            assert!(RepoUrl::parse(&format!("https://{host}/o/r")).is_err(), "{host}");
            assert!(RepoUrl::parse(&format!("ssh://git@{host}/o/r")).is_err(), "{host}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_keeps_what_it_accepts(text in "\\PC{0,300}") {
            if let Ok(url) = RepoUrl::parse(&text) {
                prop_assert_eq!(url.as_str(), text.as_str());
                prop_assert!(!url.as_str().starts_with('-') && !url.host().is_empty());
            }
        }

        #[test]
        fn near_misses_never_panic(text in "(https://|ssh://|git@)?[a-z0-9.:@/\\[\\]_-]{0,60}") {
            let _ = RepoUrl::parse(&text).map(|it| (it.name().len(), it.host().len()));
        }
    }
}
