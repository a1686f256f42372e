//! Driver: accepts connections and gives each a task.

use super::{Drain, Handler, ServerLimits, serve_present};
use crate::io::{self as door, Listener, Stream};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// Out of file descriptors or memory, nothing helps but waiting until some are given back.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Accepts and serves for ever (until drained): one task per connection, `max_connections` at a time, out of file
/// descriptors waits and goes on.
pub async fn accept_loop<H: Handler>(
    listener: Listener,
    limits: Rc<ServerLimits>,
    max_connections: usize,
    handler: Rc<H>,
    drain: Drain,
) {
    let mut exhausted = false;
    // Ends: when draining starts. The listener goes with it, so that new clients are refused by the kernel.
    while !drain.is_started() {
        // At the bound nobody is accepted: the kernel's backlog holds a few, the rest see a busy server.
        drain.room(max_connections.max(1)).await;
        match accept_unless_drained(&listener, &drain).await {
            None => return,
            Some(Ok((stream, peer))) => {
                exhausted = false;
                // Counted before its task runs, so that a burst cannot pass the bound.
                let present = drain.enter();
                let (limits, handler, drain) = (Rc::clone(&limits), Rc::clone(&handler), drain.clone());
                drop(door::spawn(async move {
                    let _present = present;
                    serve_present(stream, peer, limits, handler, drain).await;
                }));
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Some(Err(error)) => {
                // Once for each time it happens, not ten times a second.
                if !std::mem::replace(&mut exhausted, true) {
                    tracing::warn!(%error, "cannot accept a connection; trying again every 100 ms");
                }
                door::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

async fn accept_unless_drained(listener: &Listener, drain: &Drain) -> Option<io::Result<(Stream, SocketAddr)>> {
    let mut accept = pin!(listener.accept());
    let mut started = pin!(drain.started());
    poll_fn(|context| {
        if started.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        accept.as_mut().poll(context).map(Some)
    })
    .await
}
