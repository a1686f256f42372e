//! catch_errors: every answer carries a transaction id, and a panic costs one request, not the core.

use base::digits;
use base::http::RequestHead;
use base::http::server::Response;
use base::names::Name;
use base::quote::quote_into;
use base::scratch;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Most characters of the client's `X-Trans-Id-Extra` that are taken over.
const EXTRA_MAX: usize = 32;

/// `tx` + 21 hex digits of chance + `-` + 10 hex digits of the time + the cluster's `trans_id_suffix` [+ `-` + the client's own].
pub fn transaction_id(suffix: &str, head: &RequestHead, now: Duration, chance: u64, more_chance: u64) -> Name {
    let id = scratch::bytes(|id| {
        id.extend_from_slice(b"tx");
        id.extend(digits::last_hex(chance, 16));
        id.extend(digits::last_hex(more_chance, 5));
        id.extend_from_slice(b"-");
        id.extend(digits::last_hex(now.as_secs(), 10));
        if !suffix.is_empty() {
            quote_into(id, suffix.as_bytes());
        }
        if let Some(extra) = head.headers.get_str("X-Trans-Id-Extra") {
            // Quoted: it comes back in a response header and in logs.
            let cut: String = extra.chars().take(EXTRA_MAX).collect();
            id.extend_from_slice(b"-");
            quote_into(id, cut.as_bytes());
        }
    });
    Name::from_utf8(id).unwrap_or_default()
}

/// Writes the id into the answer.
pub fn stamp(response: &mut Response, trans_id: &Name) {
    let id = trans_id.bytes();
    response.head.headers.set("X-Trans-Id", id.clone());
    response.head.headers.set("X-Openstack-Request-Id", id);
}

/// A future whose panic becomes `None`. What it held is dropped; nothing of a request is shared with others except caches,
/// whose borrows never outlive a poll.
pub struct CatchPanic<'a, F>(Pin<&'a mut F>);

impl<'a, F: Future> CatchPanic<'a, F> {
    /// Around a future that lies in the caller's.
    pub fn new(future: Pin<&'a mut F>) -> Self {
        Self(future)
    }
}

impl<F: Future> Future for CatchPanic<'_, F> {
    type Output = Option<F::Output>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::http::Method;

    #[test]
    fn an_id_has_swifts_form() {
        let mut head = RequestHead::new(Method::Get, "/v1/a");
        let id = transaction_id("", &head, Duration::from_secs(0x6a1b_2c3d), 7, u64::MAX);
        assert_eq!(&*id, "tx0000000000000007fffff-006a1b2c3d");
        head.headers.set("X-Trans-Id-Extra", "mine & yours, and much more than thirty two");
        let id = transaction_id("-Bern 1", &head, Duration::ZERO, 0, 0);
        assert!(id.ends_with("-0000000000-Bern%201-mine%20%26%20yours%2C%20and%20much%20more%20than"), "{id}");
    }
}
