//! The agent's way to the model's API: what of the API a VM may ask for, under which headers, and what an answer's tokens
//! count. `meter` reads them off the answer, `ledger` keeps them; who asks and what is answered is `api::agent`'s.

mod ledger;
mod meter;

pub use ledger::{Account, Accounts, Ledger, Record, Through, read};
pub use meter::Meter;

use crate::http::Method;

/// Longest request that is passed on, bytes (Anthropic API, "Request size limits").
pub const REQUEST_MAX_BYTES: u64 = 32 * 1024 * 1024;
/// Headers of a request that reach the API. Who asks is replaced, and everything else stays here.
pub const PASSED: [&str; 10] = [
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "content-encoding",
    "content-type",
    "user-agent",
    "x-app",
    "x-claude-code-session-id",
    "x-stainless-retry-count",
    "x-stainless-timeout",
];
/// What an OAuth token needs to be taken for a key.
pub const OAUTH_BETA: &str = "oauth-2025-04-20";
/// Parameters of a query; what they may be is the API's to say.
const PARAMETERS: [&str; 4] = ["beta", "limit", "after_id", "before_id"];

/// What may be asked. Nothing else passes: batches would spend without being counted, files are everybody's in the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A turn of a conversation.
    Messages,
    /// How many tokens one would have.
    CountTokens,
    /// Which models there are, or one of them.
    Models,
}

impl Ask {
    /// Reads a path as it stands in the request line, from `v1` on. Nothing is decoded or collapsed.
    pub fn parse(path: &str) -> Option<Self> {
        match path {
            "v1/messages" => Some(Self::Messages),
            "v1/messages/count_tokens" => Some(Self::CountTokens),
            "v1/models" => Some(Self::Models),
            _ => path.strip_prefix("v1/models/").filter(|it| is_word(it)).map(|_| Self::Models),
        }
    }

    /// How it is asked.
    pub fn method(self) -> Method {
        match self {
            Self::Messages | Self::CountTokens => Method::Post,
            Self::Models => Method::Get,
        }
    }
}

/// An identifier that means nothing to a path: no slash, no escape, not dots alone.
fn is_word(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.:".contains(&it))
        && !text.bytes().all(|it| it == b'.')
}

/// Whether a query has known parameters only.
pub fn is_query(query: &str) -> bool {
    query.is_empty()
        || query.split('&').all(|it| {
            it.split_once('=').is_some_and(|(name, value)| PARAMETERS.contains(&name) && is_word(value))
        })
}

/// Whether a header of the answer reaches the VM: what the answer is, and what its client goes by. Not whose account it is.
pub fn passes_back(name: &str) -> bool {
    matches!(name, "content-type" | "request-id" | "retry-after" | "retry-after-ms" | "x-should-retry")
        || name.starts_with("anthropic-ratelimit-")
        || name.starts_with("anthropic-priority-")
}

/// The betas that the caller wants, and the one that it takes.
pub fn with_oauth_beta(betas: Option<&str>) -> String {
    match betas.map(str::trim).filter(|it| !it.is_empty()) {
        None => OAUTH_BETA.to_owned(),
        Some(betas) if betas.split(',').any(|it| it.trim() == OAUTH_BETA) => betas.to_owned(),
        Some(betas) => format!("{betas},{OAUTH_BETA}"),
    }
}

/// Tokens, as the API counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Read by the model, and neither from nor into its cache.
    pub input: u64,
    /// Written by the model.
    pub output: u64,
    /// Written into the cache.
    pub cache_write: u64,
    /// Read from the cache.
    pub cache_read: u64,
}

impl Usage {
    /// What counts against a budget, in tenths of a token: those read from the cache cost a tenth of the others.
    pub fn tenths(self) -> u64 {
        let whole = self.input.saturating_add(self.output).saturating_add(self.cache_write);
        whole.saturating_mul(10).saturating_add(self.cache_read)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            cache_read: self.cache_read.saturating_add(other.cache_read),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_counted_passes_and_nothing_else() {
        for (path, ask) in [
            ("v1/messages", Ask::Messages),
            ("v1/messages/count_tokens", Ask::CountTokens),
            ("v1/models", Ask::Models),
            ("v1/models/claude-opus-4-5-20251101", Ask::Models),
        ] {
            assert_eq!(Ask::parse(path), Some(ask), "{path}");
        }
        for path in [
            "",
            "v1",
            "v1/",
            "/v1/messages",
            "v1/messages/",
            "v1//messages",
            "V1/messages",
            "v1/Messages",
            "v1/messages/batches",
            "v1/files",
            "v1/models/",
            "v1/models/..",
            "v1/models/.",
            "v1/models/a/b",
            "v1/models/%2e%2e",
            "v1/models/..%2ffiles",
            "v1/models/a\\b",
            "v1/models/../files",
            "v1/%6dessages",
            "v1/messages%00",
            "v1/messages;x",
            "../v1/messages",
            "v1/organizations/me",
            "api/oauth/claude_cli/create_api_key",
        ] {
            assert_eq!(Ask::parse(path), None, "{path}");
        }
    }

    #[test]
    fn queries_have_known_parameters_only() {
        for query in ["", "beta=true", "limit=1000&after_id=model_1"] {
            assert!(is_query(query), "{query}");
        }
        for query in
            ["beta", "beta=", "x=1", "beta=true&", "beta=a b", "beta=%20", "beta=a/b", "limit=1#x", "beta=.."]
        {
            assert!(!is_query(query), "{query}");
        }
    }

    #[test]
    fn an_answer_tells_its_client_what_to_do_and_not_whose_account_it_is() {
        for name in [
            "content-type",
            "request-id",
            "retry-after",
            "x-should-retry",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-unified-5h-reset",
        ] {
            assert!(passes_back(name), "{name}");
        }
        for name in [
            "set-cookie",
            "anthropic-organization-id",
            "connection",
            "transfer-encoding",
            "content-encoding",
            "content-length",
            "cf-ray",
            "server",
            "access-control-allow-origin",
            "keep-alive",
            "www-authenticate",
        ] {
            assert!(!passes_back(name), "{name}");
        }
        let hop_by_hop =
            ["connection", "te", "upgrade", "cookie", "authorization", "x-api-key", "host", "content-length"];
        assert!(hop_by_hop.iter().all(|it| !PASSED.contains(it)));
    }

    #[test]
    fn the_beta_that_an_oauth_token_needs_is_there_once() {
        assert_eq!(with_oauth_beta(None), OAUTH_BETA);
        assert_eq!(with_oauth_beta(Some(" ")), OAUTH_BETA);
        assert_eq!(with_oauth_beta(Some("a-1,b-2")), "a-1,b-2,oauth-2025-04-20");
        assert_eq!(with_oauth_beta(Some("a-1, oauth-2025-04-20")), "a-1, oauth-2025-04-20");
    }

    #[test]
    fn tokens_from_the_cache_count_a_tenth() {
        assert_eq!(Usage { input: 1, output: 2, cache_write: 3, cache_read: 45 }.tenths(), 105);
        assert_eq!(Usage { input: u64::MAX, output: 9, cache_write: 9, cache_read: 9 }.tenths(), u64::MAX);
    }

    proptest! {
        #[test]
        fn whatever_passes_stays_below_its_place(path in "(v1/(models/|messages)?)?\\PC{0,30}") {
            if Ask::parse(&path).is_some() {
                prop_assert!(path.starts_with("v1/m") && !path.contains("..") || path.starts_with("v1/models/"));
                prop_assert!(path.split('/').all(|it| !it.is_empty() && it != "." && it != ".."));
                prop_assert!(path.bytes().all(|it| it.is_ascii_graphic() && !b"%?#\\".contains(&it)));
            }
        }
    }
}
