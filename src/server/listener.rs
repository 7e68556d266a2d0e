//! [`Listener`]: takes connections on this machine, and keeps slow, large and many ones within limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::error::{Error, Result};

/// How many connections there may be at a time; further ones wait.
const CONNECTIONS: usize = 32;
/// How long a client may take to say what it wants.
const HEADER: Duration = Duration::from_secs(3);
/// How long a client may take in all, the reading of the answer included.
const WHOLE: Duration = Duration::from_secs(10);
/// How many bytes the head of a request may have, and how many fields.
const HEAD_BYTES: usize = 8 << 10;
const HEAD_FIELDS: usize = 64;
/// How long to wait when the system has no connection to give.
const PAUSE: Duration = Duration::from_millis(100);

/// An address that is taken, but not served yet.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::TcpListener,
    address: SocketAddr,
}

/// A router that is served on a thread of its own, until [`end`](Self::end) or until this is dropped.
#[derive(Debug)]
pub struct Serving {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Listener {
    /// Takes an address of this machine; port 0 stands for any that is free.
    ///
    /// # Errors
    /// Invalid, if others could reach it; unavailable, if it is taken.
    pub fn bind(address: SocketAddr) -> Result<Self> {
        if !address.ip().is_loopback() {
            let port = address.port();
            return Err(Error::invalid(format!("others could reach `{address}`, and there is no login yet")).with_hint(
                format!(
                    "listen on this machine only, `127.0.0.1:{port}` or `[::1]:{port}`; let others in through a proxy \
                     with TLS and a login"
                ),
            ));
        }
        let taken = |error| {
            Error::unavailable(format!("cannot listen on `{address}`"))
                .with_hint("use another port, or port 0 for any that is free")
                .with_cause(error)
        };
        let socket = std::net::TcpListener::bind(address).map_err(taken)?;
        socket.set_nonblocking(true).map_err(taken)?;
        let address = socket.local_addr().map_err(taken)?;
        Ok(Self { socket, address })
    }

    /// Returns the address, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` on a thread of its own.
    ///
    /// # Errors
    /// Exhausted, if there is no thread.
    pub fn serve(self, router: Router) -> Result<Serving> {
        let failed = |error: std::io::Error| Error::exhausted("cannot serve HTTP").with_cause(error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let socket = {
            let _entered = runtime.enter();
            TcpListener::from_std(self.socket).map_err(failed)?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("velo-http".to_owned());
        let thread =
            thread.spawn(move || runtime.block_on(accept(&socket, &router, stopped))).map_err(failed)?;
        Ok(Serving { stop, thread })
    }
}

impl Serving {
    /// Ends at once; clients that are still there are cut off.
    pub fn end(self) {
        drop(self.stop);
        // A thread that panicked serves no more either.
        drop(self.thread.join());
    }
}

/// Takes connections until `stopped`.
async fn accept(socket: &TcpListener, router: &Router, mut stopped: oneshot::Receiver<()>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, socket.accept().await)
        };
        let (place, accepted) = tokio::select! {
            _ = &mut stopped => return,
            // A connection that failed is the client's concern.
            Some(_) = connections.join_next() => continue,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                let router = router.clone();
                connections.spawn(async move {
                    drop(timeout(WHOLE, serve_one(stream, router)).await);
                    drop(place);
                });
            }
            Err(_) if timeout(PAUSE, &mut stopped).await.is_ok() => return,
            Err(_) => {}
        }
    }
}

/// Answers the one request of a connection.
async fn serve_one(stream: TcpStream, router: Router) -> hyper::Result<()> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_FIELDS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
}
