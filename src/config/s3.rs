//! What the Worker needs to know of an object store that backups go to directly: the keys `BACKUP_S3_*`.

use super::Reader;
use crate::secret::Secret;

/// What a store without regions takes for one.
const ANY_REGION: &str = "us-east-1";
const KEYS: [&str; 5] = [
    "BACKUP_S3_ENDPOINT",
    "BACKUP_S3_BUCKET",
    "BACKUP_S3_REGION",
    "BACKUP_S3_ACCESS_KEY_ID",
    "BACKUP_S3_SECRET_ACCESS_KEY",
];

/// Access to a bucket.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// Base URL without a path.
    pub endpoint: String,
    /// Its name.
    pub bucket: String,
    /// The region that requests are signed for.
    pub region: String,
    /// A key that reads, writes and deletes in this bucket.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Secret,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    /// All of it or nothing: half a configuration would keep no backups and not say so.
    pub(super) fn s3(&mut self) -> Option<S3Config> {
        if KEYS.iter().all(|it| self.get(it).is_none()) {
            return None;
        }
        for key in KEYS.into_iter().filter(|it| *it != "BACKUP_S3_REGION") {
            if self.get(key).is_none() {
                self.problem(key, "is missing, and others of BACKUP_S3_… are given");
            }
        }
        if self.get("BACKUP_KEY").is_none() {
            self.problem(
                "BACKUP_KEY",
                "is missing: the passwords of the backups in BACKUP_S3_BUCKET derive from it; `npm run setup` makes one",
            );
        }
        let endpoint = self.url("BACKUP_S3_ENDPOINT").unwrap_or_default();
        if endpoint.split_once("://").is_some_and(|(_, host)| host.contains(['/', '@'])) {
            self.problem(
                "BACKUP_S3_ENDPOINT",
                "must be an origin such as https://s3.eu-central-1.amazonaws.com; the bucket has a key of its own",
            );
        }
        let named = |it: &str, more: &[u8], max: usize| {
            (1..=max).contains(&it.len())
                && it.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || more.contains(&it))
                && it.starts_with(|it: char| it.is_ascii_alphanumeric())
                && !it.contains("..")
        };
        let bucket = self.get("BACKUP_S3_BUCKET").unwrap_or_default();
        if !bucket.is_empty() && (bucket.len() < 3 || !named(&bucket, b"-.", 63)) {
            self.problem("BACKUP_S3_BUCKET", "must be 3 to 63 small letters, digits, '-' and '.'");
        }
        let region = self.get("BACKUP_S3_REGION").unwrap_or_else(|| ANY_REGION.to_owned());
        if !named(&region, b"-", 32) {
            self.problem("BACKUP_S3_REGION", "must be a region's name, such as eu-central-1");
        }
        let access_key_id = self.get("BACKUP_S3_ACCESS_KEY_ID").unwrap_or_default();
        if access_key_id.len() > 128
            || !access_key_id.bytes().all(|it| it.is_ascii_graphic() && !matches!(it, b'/' | b',' | b'='))
        {
            self.problem(
                "BACKUP_S3_ACCESS_KEY_ID",
                "must be the id that belongs to BACKUP_S3_SECRET_ACCESS_KEY",
            );
        }
        let secret_access_key = self.token("BACKUP_S3_SECRET_ACCESS_KEY").unwrap_or_default();
        Some(S3Config { endpoint, bucket, region, access_key_id, secret_access_key })
    }
}
