//! Sealed secrets: `POST /seal` makes them, so that a browser need not keep a key in clear, and the request for a VM may hold
//! them wherever a secret stands. Their cryptography is `keys::sealed`'s; what a secret must look like, `spec`'s.

use serde::Serialize;
use serde_json::{Map, Value};

use super::auth::Authorized;
use super::wire::json;
use super::{Ctx, Problem, read_body};
use crate::http::{Body, Host, Random as _, Reply};
use crate::keys::SEALED;
use crate::spec::{self, FieldProblem, Spec};

/// Longest secret that is sealed, bytes: what comes of it is no longer than a secret may be.
const PLAIN_MAX_BYTES: usize = 3000;
/// Fields that hold a secret; `env` holds one in each of its values.
const SECRET_FIELDS: [&str; 3] = ["git_token", "anthropic_api_key", "claude_code_oauth_token"];

/// What is wrong with a sealed secret, whatever it is: more would be of use to whoever tries.
const DOES_NOT_OPEN: &str = "is sealed, and does not open here for you: it is damaged, of another owner or deployment, or its key is gone; give the secret itself";

#[derive(Serialize)]
struct Sealed {
    sealed: String,
}

/// `POST /seal`: ciphertext of a secret, for this owner in this deployment.
pub(super) async fn seal<H: Host>(
    ctx: &Ctx<'_, H>,
    who: &Authorized<'_>,
    body: &mut impl Body,
) -> Result<Reply, Problem> {
    let body = read_body(body).await?;
    let invalid = |detail: &str| Problem::invalid_field("secret", detail);
    let fields = serde_json::from_slice::<Map<String, Value>>(&body).unwrap_or_default();
    let secret = match fields.get("secret") {
        Some(Value::String(secret)) if fields.len() == 1 => secret,
        _ => return Err(invalid("must be a string, and the only field")),
    };
    if secret.is_empty() || secret.len() > PLAIN_MAX_BYTES || secret.contains('\0') {
        return Err(invalid("must have 1 to 3,000 bytes and no NUL"));
    }
    if secret.starts_with(SEALED) {
        return Err(invalid("is sealed already"));
    }
    let mut nonce = [0; 12];
    ctx.host.fill(&mut nonce);
    let config = &ctx.ready.config;
    let sealed = config.keys.signer().seal_for(who.owner(), secret.as_bytes(), &config.deployment, nonce);
    Ok(json(200, &Sealed { sealed }))
}

/// Reads a request for a VM whose secrets may be sealed. What does not open is a problem of its field, beside all others.
pub(super) fn parse<H>(ctx: &Ctx<'_, H>, who: &Authorized<'_>, body: &[u8]) -> Result<Spec, Problem> {
    let defaults = &ctx.ready.config.defaults;
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(body) else {
        return spec::parse(body, defaults).map_err(Problem::invalid);
    };
    let mut problems = Vec::new();
    let mut open = |name: String, value: &mut Value| {
        let Some(sealed) = value.as_str().filter(|it| it.starts_with(SEALED)) else { return };
        let config = &ctx.ready.config;
        let plain = config.keys.open_for(who.owner(), sealed, &config.deployment);
        let plain = plain.and_then(|it| String::from_utf8(it).ok());
        if plain.is_none() {
            problems.push(FieldProblem { field: name, detail: DOES_NOT_OPEN.to_owned() });
        }
        *value = plain.unwrap_or_default().into();
    };
    for (name, value) in &mut fields {
        match value {
            Value::Object(env) if name == "env" => {
                for (variable, value) in env {
                    // Names come from the user: shown only where they are harmless.
                    let is_name = variable.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
                    open(if is_name { format!("env.{variable}") } else { "env".to_owned() }, value);
                }
            }
            _ if SECRET_FIELDS.contains(&name.as_str()) => open(name.clone(), value),
            _ => {}
        }
    }
    match spec::parse(Value::Object(fields).to_string().as_bytes(), defaults) {
        Ok(spec) if problems.is_empty() => Ok(spec),
        spec => {
            problems.extend(spec.err().unwrap_or_default());
            Err(Problem::invalid(problems))
        }
    }
}
