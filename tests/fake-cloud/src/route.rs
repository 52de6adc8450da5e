//! How a handler is called: a plain function of the state and the call. Each vendor has its own table of them.
//!
//! Tokens, rate limit and faults are dealt with before a handler runs (`front`).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawPathParams, RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, MethodRouter};

use crate::answer::Answer;
use crate::cloud::Cloud;
use crate::fake::Fake;
use crate::query::Query;

/// What a handler is given besides the state.
#[derive(Debug)]
pub(crate) struct Call {
    path: Vec<(String, String)>,
    /// The decoded query.
    pub query: Query,
    /// As sent; empty where there was none.
    pub content_type: String,
    /// Where the caller believes to be, for addresses in answers.
    pub host: String,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// A part of the path by the name that it has in the route; empty where the route has none.
    pub(crate) fn segment(&self, name: &str) -> &str {
        self.path.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }

    /// The first variable part of the path.
    pub(crate) fn reference(&self) -> &str {
        self.path.first().map_or("", |(_, value)| value.as_str())
    }
}

/// What answers a route, with the vendor's own errors.
pub(crate) type Handler<E> = fn(&mut Cloud, &Call) -> Result<Answer, E>;

/// The methods of a path.
pub(crate) fn methods<E: IntoResponse + 'static>(
    list: &[(MethodFilter, Handler<E>)],
) -> MethodRouter<Arc<Fake>> {
    list.iter().fold(MethodRouter::new(), |router, (method, handler)| {
        let handler = *handler;
        let endpoint = move |State(fake): State<Arc<Fake>>,
                             path: RawPathParams,
                             RawQuery(query): RawQuery,
                             headers: HeaderMap,
                             body: Bytes| async move {
            let header =
                |name| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned();
            let call = Call {
                path: path.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
                query: Query::parse(query.as_deref().unwrap_or_default()),
                content_type: header(CONTENT_TYPE),
                host: header(HOST),
                body,
            };
            fake.with(|cloud| handler(cloud, &call)).into_response()
        };
        router.on(*method, endpoint)
    })
}
