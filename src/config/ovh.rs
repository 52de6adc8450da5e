//! The configuration of OVHcloud: which of its three APIs, how the Worker signs in, the project. What is sent with it is the
//! provider module's business.

use super::{Reader, names};
use crate::secret::Secret;

/// An API of OVHcloud: accounts of one do not exist in the others (OVHcloud, "First Steps with the OVHcloud APIs").
struct Endpoint {
    /// As OVHcloud's own clients call it.
    name: &'static str,
    api_url: &'static str,
    /// Where service accounts get tokens ("Managing OVHcloud service accounts via the API").
    token_url: &'static str,
    /// Whose price list counts.
    subsidiary: &'static str,
}

static ENDPOINTS: [Endpoint; 3] = [
    Endpoint {
        name: "ovh-eu",
        api_url: "https://eu.api.ovh.com/v1",
        token_url: "https://www.ovh.com/auth/oauth2/token",
        subsidiary: "FR",
    },
    Endpoint {
        name: "ovh-ca",
        api_url: "https://ca.api.ovh.com/v1",
        token_url: "https://ca.ovh.com/auth/oauth2/token",
        subsidiary: "CA",
    },
    Endpoint {
        name: "ovh-us",
        api_url: "https://api.us.ovhcloud.com/v1",
        token_url: "https://us.ovhcloud.com/auth/oauth2/token",
        subsidiary: "US",
    },
];

/// Access to an OVHcloud Public Cloud project.
#[derive(Clone, Debug)]
pub struct OvhConfig {
    /// How requests prove whose they are.
    pub credential: OvhCredential,
    /// The project's id, 32 hexadecimal digits.
    pub project_id: String,
    /// Regions that are offered, in small letters; empty for all that the project has.
    pub regions: Vec<String>,
    /// Whose price list counts.
    pub subsidiary: String,
    /// Base URL without a slash at the end.
    pub api_url: String,
    /// What a VM needs to delete itself: a signing key of its own and the project's address, with `:` between them.
    pub vm_credential: Option<Secret>,
}

/// How the Worker signs in.
#[derive(Clone, Debug)]
pub enum OvhCredential {
    /// Every request is signed.
    Key(SigningKey),
    /// A service account gets tokens.
    Client {
        /// Its id.
        id: String,
        /// Its secret.
        secret: Secret,
        /// Where it gets them.
        token_url: String,
    },
}

/// An application's key and what an account's owner has granted it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is the key of its name in the README")]
pub struct SigningKey {
    pub application_key: Secret,
    pub application_secret: Secret,
    pub consumer_key: Secret,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    pub(super) fn ovh(&mut self) -> Option<OvhConfig> {
        let endpoint = self.endpoint();
        let api_url = self.url("OVH_API_URL").unwrap_or_else(|| endpoint.api_url.into());
        let token_url = self.url("OVH_TOKEN_URL").unwrap_or_else(|| endpoint.token_url.into());
        let regions = self.regions();
        let subsidiary = self.get("OVH_SUBSIDIARY").unwrap_or_else(|| endpoint.subsidiary.into());
        if !(2..=5).contains(&subsidiary.len()) || !subsidiary.bytes().all(|it| it.is_ascii_uppercase()) {
            self.problem("OVH_SUBSIDIARY", "must be a subsidiary in capitals, such as FR, WE, CA or US");
        }
        let credential = self.credential(token_url)?;
        let project_id = self.get("OVH_PROJECT_ID").unwrap_or_default();
        if project_id.len() != 32 || !project_id.bytes().all(|it| it.is_ascii_hexdigit()) {
            let detail = "must be the Public Cloud project's id, 32 hexadecimal digits, as OVHcloud's console shows it";
            self.problem("OVH_PROJECT_ID", detail);
        }
        let vm_credential = self.vm_credential(&api_url, &project_id);
        Some(OvhConfig { credential, project_id, regions, subsidiary, api_url, vm_credential })
    }

    fn endpoint(&mut self) -> &'static Endpoint {
        let find = |name: &str| ENDPOINTS.iter().find(|it| it.name == name);
        self.choice("OVH_ENDPOINT", &ENDPOINTS[0], find, &ENDPOINTS.each_ref().map(|it| it.name))
    }

    fn regions(&mut self) -> Vec<String> {
        let text = self.get("OVH_REGIONS").unwrap_or_default().to_ascii_lowercase();
        let regions: Vec<String> = names(&text).into_iter().filter(|it| !it.is_empty()).collect();
        // Whether a region exists is the vendor's to say: new ones come.
        let is_region = |it: &String| {
            it.len() <= 32
                && it.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
        };
        if !regions.iter().all(is_region) {
            self.problem("OVH_REGIONS", "must be regions separated by commas, such as GRA11,EU-WEST-PAR");
        }
        regions
    }

    /// `None` where OVHcloud is not configured: where neither secret is there.
    fn credential(&mut self, token_url: String) -> Option<OvhCredential> {
        let client_secret = self.token("OVH_CLIENT_SECRET");
        if let Some(secret) = client_secret {
            if self.get("OVH_APPLICATION_SECRET").is_some() {
                self.problem("OVH_CLIENT_SECRET", "is given beside OVH_APPLICATION_SECRET: give one of them");
            }
            let id = self.required("OVH_CLIENT_ID", "the id of the service account");
            return Some(OvhCredential::Client { id: id.expose().to_owned(), secret, token_url });
        }
        let application_secret = self.token("OVH_APPLICATION_SECRET")?;
        Some(OvhCredential::Key(SigningKey {
            application_key: self
                .required("OVH_APPLICATION_KEY", "the key that belongs to the application's secret"),
            application_secret,
            consumer_key: self
                .required("OVH_CONSUMER_KEY", "what the account's owner has granted the application"),
        }))
    }

    /// All three or none: half a credential would be found out when a VM is to end.
    fn vm_credential(&mut self, api_url: &str, project_id: &str) -> Option<Secret> {
        let secret = self.token("OVH_VM_APPLICATION_SECRET")?;
        let key = self.required("OVH_VM_APPLICATION_KEY", "the key that belongs to the application's secret");
        let consumer =
            self.required("OVH_VM_CONSUMER_KEY", "what the account's owner has granted the application");
        let parts = [key.expose(), secret.expose(), consumer.expose()];
        Some(Secret::new(format!("{}:{api_url}/cloud/project/{project_id}", parts.join(":"))))
    }

    fn required(&mut self, key: &'static str, what: &str) -> Secret {
        self.token(key).unwrap_or_else(|| {
            self.problem(key, format!("is missing: {what}"));
            Secret::default()
        })
    }
}
