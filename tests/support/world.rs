//! The configured Mayfly of the tests, its tokens and keys, and the targets of the provider's calls.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mayfly::App;
use mayfly::keys::{Claims, Keyring, Scope};
use sha2::{Digest as _, Sha256};

/// 2026-11-20T10:00:00Z.
pub(crate) const NOW_SECS: u64 = 1_795_168_800;
pub(crate) const API_TOKEN: &str = "test-token-of-the-default-owner";
pub(crate) const ANNS_TOKEN: &str = "test-token-of-ann-0123456789";
pub(crate) const ROOTS_TOKEN: &str = "test-token-of-root-0123456789";
pub(crate) const SIGNING_KEY: &str = "k1:0123456789abcdef0123456789abcdef";
pub(crate) const BACKUP_KEY: &str = "test-backup-key-0123456789-0123456789";
pub(crate) const HETZNER_TOKEN: &str = "test-hetzner-token-9876543210";
pub(crate) const HETZNER_API_URL: &str = "https://hetzner.test/v1";
pub(crate) const DIGITALOCEAN_TOKEN: &str = "test-digitalocean-token-1234567890";
pub(crate) const DIGITALOCEAN_API_URL: &str = "https://digitalocean.test/v2";
pub(crate) const SCALEWAY_SECRET_KEY: &str = "test-scaleway-key-0123456789";
pub(crate) const SCALEWAY_PROJECT_ID: &str = "fa1e3217-dc80-42ac-85c3-3f034b78b552";
pub(crate) const SCALEWAY_API_URL: &str = "https://scaleway.test";
pub(crate) const OVH_APPLICATION_KEY: &str = "test-ovh-application";
pub(crate) const OVH_APPLICATION_SECRET: &str = "test-ovh-secret-of-the-application";
pub(crate) const OVH_CONSUMER_KEY: &str = "test-ovh-consumer-key";
pub(crate) const OVH_CLIENT_SECRET: &str = "test-ovh-secret-of-a-service-account";
pub(crate) const OVH_TOKEN: &str = "test-ovh-token-of-a-service-account";
pub(crate) const OVH_PROJECT_ID: &str = "0123456789abcdef0123456789abcdee";
pub(crate) const OVH_API_URL: &str = "https://ovh.test/v1";
pub(crate) const OVH_TOKEN_URL: &str = "https://ovh-auth.test/oauth2/token";
pub(crate) const AWS_ACCESS_KEY_ID: &str = "AKIATESTTESTTEST0001";
pub(crate) const AWS_SECRET_ACCESS_KEY: &str = "test-aws-secret-key-0123456789";
pub(crate) const EC2_API_URL: &str = "https://ec2.{region}.aws.test";
pub(crate) const AWS_PRICING_API_URL: &str = "https://pricing.aws.test";
pub(crate) const ACCESS_TEAM: &str = "https://riverside.cloudflareaccess.com";
pub(crate) const ACCESS_AUD: &str = "7c54bf30be845e1e5cee7aba2a21e093e3b18f4d627111960a1ed884a0fee392";
pub(crate) const ORIGIN: &str = "https://mayfly.example.workers.dev";
pub(crate) const PAGE_ORIGIN: &str = "https://mayfly.pages.dev";
/// The id in the label of [`super::fixtures::Server::ours`].
pub(crate) const VM: &str = "abcdefghijklmnopqrstuvwxyz";
/// The workspace that capabilities for backups name; what [`example_of`] asks for is in it.
pub(crate) const WORKSPACE: &str = "a";
/// The key of the fixture `list_ssh_keys.registered`.
pub(crate) const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDHGQOpuSOTyTBhrt98fEqsIRGKjt4ygN4lzdhaO4OJn";
pub(crate) const REPO_URL: &str = "https://github.com/octo/Hello-World";
/// How a provider knows the Worker.
pub(crate) struct Credential {
    pub(crate) api_url: &'static str,
    pub(crate) header: &'static str,
    pub(crate) value: &'static str,
}

/// What every request to these addresses must carry.
pub(crate) const CREDENTIALS: [Credential; 3] = [
    Credential {
        api_url: HETZNER_API_URL,
        header: "authorization",
        value: "Bearer test-hetzner-token-9876543210",
    },
    Credential { api_url: SCALEWAY_API_URL, header: "x-auth-token", value: SCALEWAY_SECRET_KEY },
    Credential {
        api_url: DIGITALOCEAN_API_URL,
        header: "authorization",
        value: "Bearer test-digitalocean-token-1234567890",
    },
];
/// What no log line and, but for the boot exchange, no answer may hold.
pub(crate) const SECRETS: [&str; 17] = [
    BACKUP_KEY,
    API_TOKEN,
    ANNS_TOKEN,
    ROOTS_TOKEN,
    "0123456789abcdef0123456789abcdef",
    HETZNER_TOKEN,
    SCALEWAY_SECRET_KEY,
    DIGITALOCEAN_TOKEN,
    OVH_APPLICATION_SECRET,
    OVH_CONSUMER_KEY,
    OVH_CLIENT_SECRET,
    OVH_TOKEN,
    AWS_SECRET_ACCESS_KEY,
    "secret-default-git-token",
    "secret-default-anthropic-key",
    "secret-vm-token-of-",
    "secret-given-",
];

/// Vars and secrets, to be changed before they become an [`App`].
#[derive(Clone)]
pub(crate) struct Settings(BTreeMap<&'static str, String>);

impl Settings {
    /// Two people, one provider, one page.
    pub(crate) fn usual() -> Self {
        Self(BTreeMap::new())
            .with("API_TOKEN", API_TOKEN)
            .with("API_TOKENS", format!(r#"{{"ann":"{}"}}"#, sha256_hex(ANNS_TOKEN)))
            .with("SIGNING_KEY", SIGNING_KEY)
            .with("ALLOWED_ORIGINS", format!("{PAGE_ORIGIN},https://*.mayfly.pages.dev"))
            .with("HETZNER_TOKEN", HETZNER_TOKEN)
            .with("HETZNER_API_URL", HETZNER_API_URL)
    }

    /// With the secrets of every provider, for the Worker and for VMs, and those that are for every workspace.
    pub(crate) fn with_all_secrets(self) -> Self {
        self.with("HETZNER_TOKEN", HETZNER_TOKEN)
            .with("HETZNER_VM_TOKEN", "secret-vm-token-of-hetzner")
            .with("SCALEWAY_SECRET_KEY", SCALEWAY_SECRET_KEY)
            .with("SCALEWAY_PROJECT_ID", SCALEWAY_PROJECT_ID)
            .with("SCALEWAY_VM_SECRET_KEY", "secret-vm-token-of-scaleway")
            .with("DIGITALOCEAN_TOKEN", DIGITALOCEAN_TOKEN)
            .with("DIGITALOCEAN_VM_TOKEN", "secret-vm-token-of-digitalocean")
            .with_ovh()
            .with("OVH_VM_APPLICATION_KEY", OVH_APPLICATION_KEY)
            .with("OVH_VM_APPLICATION_SECRET", "secret-vm-token-of-ovh")
            .with("OVH_VM_CONSUMER_KEY", OVH_CONSUMER_KEY)
            .with("AWS_ACCESS_KEY_ID", AWS_ACCESS_KEY_ID)
            .with("AWS_SECRET_ACCESS_KEY", AWS_SECRET_ACCESS_KEY)
            .with("AWS_REGIONS", "place-1")
            .with("GIT_TOKEN", "secret-default-git-token")
            .with("ANTHROPIC_API_KEY", "secret-default-anthropic-key")
            .with("BACKUP_KEY", BACKUP_KEY)
    }

    /// And an admin, and what Ann's entry says beside her digest.
    pub(crate) fn with_admin(self, anns: &str) -> Self {
        let (ann, root) = (sha256_hex(ANNS_TOKEN), sha256_hex(ROOTS_TOKEN));
        let tokens =
            format!(r#"{{"ann":{{"sha256":"{ann}"{anns}}},"root":{{"sha256":"{root}","admin":true}}}}"#);
        self.with("API_TOKENS", tokens)
    }

    /// Behind Cloudflare Access.
    pub(crate) fn with_access(self) -> Self {
        self.with("ACCESS_TEAM_DOMAIN", ACCESS_TEAM).with("ACCESS_AUD", ACCESS_AUD)
    }

    pub(crate) fn nothing() -> Self {
        Self(BTreeMap::new())
    }

    pub(crate) fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.0.insert(key, value.into());
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.0.remove(key);
        self
    }

    /// OVHcloud, with requests that are signed.
    pub(crate) fn with_ovh(self) -> Self {
        self.with("OVH_APPLICATION_KEY", OVH_APPLICATION_KEY)
            .with("OVH_APPLICATION_SECRET", OVH_APPLICATION_SECRET)
            .with("OVH_CONSUMER_KEY", OVH_CONSUMER_KEY)
            .with("OVH_PROJECT_ID", OVH_PROJECT_ID)
            .with("OVH_API_URL", OVH_API_URL)
    }

    /// OVHcloud, with a service account.
    pub(crate) fn with_ovh_client(self) -> Self {
        self.with("OVH_CLIENT_ID", "EU.mayfly")
            .with("OVH_CLIENT_SECRET", OVH_CLIENT_SECRET)
            .with("OVH_TOKEN_URL", OVH_TOKEN_URL)
            .with("OVH_PROJECT_ID", OVH_PROJECT_ID)
            .with("OVH_API_URL", OVH_API_URL)
    }

    pub(crate) fn app(&self) -> App {
        App::from_lookup(|key| self.0.get(key).cloned())
    }
}

/// The usual App.
pub(crate) fn app() -> App {
    Settings::usual().app()
}

pub(crate) fn sha256_hex(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

pub(crate) fn keyring() -> Keyring {
    Keyring::parse(SIGNING_KEY).expect("a keyring")
}

pub(crate) fn claims(scope: Scope) -> Claims {
    let is_for_backups = matches!(scope, Scope::Backup | Scope::Prune);
    Claims {
        deployment: "mayfly".into(),
        vm: VM.into(),
        provider: "hetzner".into(),
        region: "fsn1".into(),
        scope,
        expires_secs: None,
        workspace: if is_for_backups { WORKSPACE.into() } else { String::new() },
        owner: String::new(),
    }
}

/// The capability of the VM of [`super::fixtures::Server::ours`].
pub(crate) fn capability(scope: Scope) -> String {
    keyring().signer().sign(&claims(scope))
}

/// The query of a label selector: this deployment and what narrows it.
pub(crate) fn selector(narrower: &[(&str, &str)]) -> String {
    let mut query = "managed-by%3D%3Dmayfly%2Cmayfly-deployment%3D%3Dmayfly".to_owned();
    for (key, value) in narrower {
        let _ = write!(query, "%2C{key}%3D%3D{value}");
    }
    query
}

/// A page of a listing of ours.
pub(crate) fn list_of(kind: &str, narrower: &[(&str, &str)], page: u32) -> String {
    format!("/{kind}?label_selector={}&page={page}&per_page=50", selector(narrower))
}

/// The first page of an owner's servers.
pub(crate) fn list_of_owner(owner: &str) -> String {
    list_of("servers", &[("mayfly-owner", owner)], 1)
}

/// The first page of the servers that carry the id of [`VM`].
pub(crate) fn list_of_vm() -> String {
    list_of("servers", &[("mayfly-vm", VM)], 1)
}

/// Every server of the deployment.
pub(crate) fn list_of_all() -> String {
    list_of("servers", &[], 1)
}

/// A row's path with texts in place of its placeholders.
pub(crate) fn example_of(path: &str) -> String {
    let segment = |it: &str| match it {
        "*" => "a/b".to_owned(),
        it if it.starts_with('{') => "hetzner-4711".to_owned(),
        it => it.to_owned(),
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}
