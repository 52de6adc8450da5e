//! The running server: its shared state, the clock that ends actions, and the connections.
//!
//! Own accept loop instead of `axum::serve`, because a fault may have to drop a connection without an answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tower_service::Service;

use crate::cloud::Cloud;
use crate::config::Config;
use crate::front::{self, Gate};
use crate::vendor::{Refusal, Vendor};
use crate::{api, clock, control, digitalocean, guest, ovh, scaleway};

/// How to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port on the loopback address; 0 for any.
    pub port: u16,
    /// The token that may do everything; with `read-only-` before it, one that may only read.
    pub token: String,
    /// First configuration, and the one after a reset.
    pub config: Config,
    /// Print each request.
    pub verbose: bool,
}

/// What everything shares.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) options: Options,
    pub(crate) address: SocketAddr,
    cloud: Mutex<Cloud>,
    gate: Mutex<Gate>,
    due_changed: Notify,
}

impl Fake {
    /// Brings the state up to now, works on it, and starts the guests whose servers got power.
    pub(crate) fn with<R>(self: &Arc<Self>, work: impl FnOnce(&mut Cloud) -> R) -> R {
        let (result, starts, due_changed) = {
            let mut cloud = lock(&self.cloud);
            cloud.advance(clock::now_ms());
            let due = cloud.next_due();
            let result = work(&mut cloud);
            (result, std::mem::take(&mut cloud.starts), cloud.next_due() != due)
        };
        for server in starts {
            guest::start(self, server);
        }
        if due_changed {
            self.due_changed.notify_one();
        }
        result
    }

    /// Tokens, rate limit, faults and the log of requests.
    pub(crate) fn gate(&self) -> MutexGuard<'_, Gate> {
        lock(&self.gate)
    }
}

/// A panic while the lock was held has already failed its test; the state is still the best there is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    fake: Arc<Fake>,
    tasks: [JoinHandle<()>; 2],
}

impl Running {
    /// `http://127.0.0.1:<port>`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        lock(&self.fake.cloud).guests.cut_all_power();
    }
}

/// Listens and answers in the background, inside the current tokio runtime.
pub async fn start(options: Options) -> std::io::Result<Running> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    let address = listener.local_addr()?;
    let config = options.config.clone();
    let gate = Gate::new(&options.token, config.rate_limit, clock::now_ms());
    let fake = Arc::new(Fake {
        options,
        address,
        cloud: Mutex::new(Cloud::new(config, 0)),
        gate: Mutex::new(gate),
        due_changed: Notify::new(),
    });
    let vendors = [
        (Vendor::Hetzner, api::routes()),
        (Vendor::DigitalOcean, digitalocean::routes()),
        (Vendor::Scaleway, scaleway::routes()),
        (Vendor::Ovh, ovh::routes()),
    ];
    let router = vendors
        .into_iter()
        .fold(Router::new(), |router, (vendor, routes)| {
            let routes = front::guarded(vendor, routes, &fake);
            // What anybody may ask.
            let routes = if vendor == Vendor::Ovh { routes.merge(ovh::open_routes()) } else { routes };
            router.nest(vendor.prefix(), routes)
        })
        .route("/ovh/oauth2/token", post(ovh::access::grant))
        .nest("/_fake", control::routes())
        .nest("/guests", guest::door::routes())
        .fallback(async || Vendor::Hetzner.refuse(Refusal::NoRoute))
        .with_state(fake.clone());
    let tasks = [tokio::spawn(keep_time(fake.clone())), tokio::spawn(accept(listener, fake.clone(), router))];
    Ok(Running { address, fake, tasks })
}

/// Ends actions when they fall due, also while nobody asks.
async fn keep_time(fake: Arc<Fake>) {
    loop {
        match fake.with(|cloud| cloud.next_due()) {
            None => fake.due_changed.notified().await,
            Some(due) => {
                let wait = Duration::from_millis(due.saturating_sub(clock::now_ms()));
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = fake.due_changed.notified() => {}
                }
            }
        }
    }
}

async fn accept(listener: TcpListener, fake: Arc<Fake>, router: Router) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, as a rule: others must end before this helps.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (fake, router) = (fake.clone(), router.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let (fake, mut router) = (fake.clone(), router.clone());
                async move {
                    let request = request.map(Body::new);
                    front::pass(&fake, request, |request| router.call(request)).await
                }
            });
            // An error is a client that went away, or a fault that dropped the connection.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
