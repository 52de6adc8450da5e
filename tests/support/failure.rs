//! Everything that a provider can answer instead of what was asked for, and what becomes of it.

use mayfly::http::NoAnswer;

use super::script::Exchange;

/// One way to fail.
pub(crate) struct Failure {
    pub(crate) what: &'static str,
    answer: fn(Exchange) -> Exchange,
    /// Status and code of the problem.
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) detail: &'static str,
    pub(crate) retry_after: Option<u64>,
    /// How often a request that may be repeated is sent.
    pub(crate) tries: usize,
    /// Whether the provider may have done what it was asked.
    pub(crate) may_have_acted: bool,
}

impl Failure {
    /// The call with this answer.
    pub(crate) fn of(&self, exchange: Exchange) -> Exchange {
        (self.answer)(exchange)
    }
}

const HTML: &str = "<html><head><title>502</title></head><body>proxy-7.internal says no</body></html>";

/// Every failure that ends a request; [`NO_CAPACITY`] is apart, since a creation goes on after it.
pub(crate) const ALL: [Failure; 12] = [
    Failure {
        what: "401",
        answer: |it| it.fixture(401, "error.unauthorized"),
        status: 502,
        code: "provider_unauthorized",
        detail: "Hetzner Cloud refuses the token in HETZNER_TOKEN.",
        retry_after: None,
        tries: 1,
        may_have_acted: false,
    },
    Failure {
        what: "403 token_readonly",
        answer: |it| it.fixture(403, "error.token_readonly"),
        status: 502,
        code: "provider_token_readonly",
        detail: "Hetzner Cloud says that the token in HETZNER_TOKEN may only read; create one with Read & Write.",
        retry_after: None,
        tries: 1,
        may_have_acted: false,
    },
    Failure {
        what: "403 quota",
        answer: |it| it.fixture(403, "error.resource_limit_exceeded"),
        status: 503,
        code: "provider_quota",
        detail: "Hetzner Cloud answered resource_limit_exceeded: server limit reached [server_limit].",
        retry_after: None,
        tries: 1,
        may_have_acted: false,
    },
    Failure {
        what: "409",
        answer: |it| it.fixture(409, "error.conflict"),
        status: 409,
        code: "provider_conflict",
        detail: "Hetzner Cloud answered conflict: server has a running action.",
        retry_after: Some(5),
        tries: 3,
        may_have_acted: false,
    },
    Failure {
        what: "422",
        answer: |it| it.fixture(422, "error.invalid_input"),
        status: 502,
        code: "provider_invalid",
        detail: "Hetzner Cloud answered invalid_input: invalid input in field 'image' [image].",
        retry_after: None,
        tries: 1,
        may_have_acted: false,
    },
    Failure {
        what: "423",
        answer: |it| it.fixture(423, "error.locked"),
        status: 409,
        code: "provider_locked",
        detail: "Hetzner Cloud answered locked: server is locked by another action.",
        retry_after: Some(5),
        tries: 1,
        may_have_acted: false,
    },
    Failure {
        what: "429 without a wait",
        answer: |it| it.fixture(429, "error.rate_limit_exceeded"),
        status: 503,
        code: "provider_rate_limited",
        detail: "Hetzner Cloud answered rate_limit_exceeded: limit of 3600 requests per hour reached.",
        retry_after: Some(10),
        tries: 1,
        may_have_acted: false,
    },
    Failure {
        what: "429 with a wait",
        answer: |it| it.fixture(429, "error.rate_limit_exceeded").header("retry-after", "37"),
        status: 503,
        code: "provider_rate_limited",
        detail: "Hetzner Cloud answered rate_limit_exceeded: limit of 3600 requests per hour reached.",
        retry_after: Some(37),
        tries: 1,
        may_have_acted: false,
    },
    Failure {
        what: "500 with HTML",
        answer: |it| it.answers(500, HTML),
        status: 502,
        code: "provider_unavailable",
        detail: "Hetzner Cloud answered with status 500 and no error message.",
        retry_after: None,
        tries: 3,
        may_have_acted: true,
    },
    Failure {
        what: "200 with half a JSON",
        answer: |it| it.answers(200, r#"{"servers":[{"id":47"#),
        status: 502,
        code: "provider_malformed",
        detail: "Hetzner Cloud answered with something that is not what its documentation says.",
        retry_after: None,
        tries: 1,
        may_have_acted: true,
    },
    Failure {
        what: "nothing in time",
        answer: |it| it.lost(NoAnswer::TimedOut),
        status: 504,
        code: "provider_timed_out",
        detail: "Hetzner Cloud did not answer in time.",
        retry_after: None,
        tries: 1,
        may_have_acted: true,
    },
    Failure {
        what: "a broken connection",
        answer: |it| it.lost(NoAnswer::Broken),
        status: 502,
        code: "provider_unavailable",
        detail: "Hetzner Cloud could not be reached.",
        retry_after: None,
        tries: 3,
        may_have_acted: true,
    },
];

impl Failure {
    /// How often a deletion is sent: a lock of a moment is waited for.
    pub(crate) fn tries_of_deletion(&self) -> usize {
        if self.code == "provider_locked" { 3 } else { self.tries }
    }
}

/// The failures of requests whose answer's body matters little: a deletion that was accepted is accepted.
pub(crate) fn of_deletions() -> impl Iterator<Item = &'static Failure> {
    const { &ALL }.iter().filter(|it| it.what != "200 with half a JSON")
}

/// 412 where nothing is to be placed.
pub(crate) const NO_CAPACITY: Failure = Failure {
    what: "412",
    answer: |it| it.fixture(412, "error.resource_unavailable"),
    status: 503,
    code: "provider_capacity",
    detail: "Hetzner Cloud answered resource_unavailable: error during placement.",
    retry_after: None,
    tries: 1,
    may_have_acted: false,
};
