//! What the Worker needs to know of AWS: the keys of EC2, their limits and their defaults.

use super::{Reader, names};
use crate::model::is_aws_region;
use crate::secret::Secret;

/// Base of EC2's API in each region.
pub const EC2_API_URL: &str = "https://ec2.{region}.amazonaws.com";
/// Base of the Price List API, which has the prices of all regions.
pub const AWS_PRICING_API_URL: &str = "https://api.pricing.us-east-1.amazonaws.com";

/// Access to AWS EC2.
#[derive(Clone, Debug)]
pub struct Ec2Config {
    /// Access key of a user that may do what the README lists.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Secret,
    /// Only temporary keys have one.
    pub session_token: Option<Secret>,
    /// Regions that are asked; every one costs calls.
    pub regions: Vec<String>,
    /// Where instances stand; without it, in the default VPC.
    pub subnet_id: Option<String>,
    /// Base URL without a slash at the end; `{region}` stands for each region.
    pub api_url: String,
    /// Base URL of the Price List API.
    pub pricing_api_url: String,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    pub(super) fn ec2(&mut self) -> Option<Ec2Config> {
        let api_url = self.url("EC2_API_URL").unwrap_or_else(|| EC2_API_URL.into());
        let pricing_api_url = self.url("AWS_PRICING_API_URL").unwrap_or_else(|| AWS_PRICING_API_URL.into());
        let secret_access_key = self.token("AWS_SECRET_ACCESS_KEY")?;
        let access_key_id = self.get("AWS_ACCESS_KEY_ID").unwrap_or_default();
        if !(16..=128).contains(&access_key_id.len())
            || !access_key_id.bytes().all(|it| it.is_ascii_alphanumeric())
        {
            self.problem(
                "AWS_ACCESS_KEY_ID",
                "must be the id that belongs to AWS_SECRET_ACCESS_KEY, such as AKIA…",
            );
        }
        let regions = names(&self.get("AWS_REGIONS").unwrap_or_default());
        if !regions.iter().all(|it| is_aws_region(it)) {
            self.problem(
                "AWS_REGIONS",
                "must be regions separated by commas, such as eu-central-1,us-east-1",
            );
        }
        let subnet_id = self.get("AWS_SUBNET_ID");
        if let Some(subnet) = &subnet_id {
            let is_subnet = subnet
                .strip_prefix("subnet-")
                .is_some_and(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_hexdigit()));
            if !is_subnet {
                self.problem("AWS_SUBNET_ID", "must be a subnet's id, such as subnet-0123456789abcdef0");
            } else if regions.len() > 1 {
                self.problem("AWS_SUBNET_ID", "is in one region, and AWS_REGIONS names several");
            }
        }
        let session_token = self.token("AWS_SESSION_TOKEN");
        Some(Ec2Config {
            access_key_id,
            secret_access_key,
            session_token,
            regions,
            subnet_id,
            api_url,
            pricing_api_url,
        })
    }
}
