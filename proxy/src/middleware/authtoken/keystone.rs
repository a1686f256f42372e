//! Driver: the exchanges with Keystone: a token of our own by password, and what it says of the tokens of others.
//!
//! # Invariants
//!
//! - At most [`EXCHANGES_MAX`] connections per core; whoever comes later waits, within the same deadline.
//! - A question ends within the deadline of the settings, whatever Keystone does.
//! - What is not a clear yes is not one: any answer but 200 with a token and 404 means that nobody knows.
//! - No token and no password is ever logged.

use super::settings::Settings;
use super::token::Token;
use crate::backend::pool::Pool;
use crate::flights::Flights;
use base::http::client::{Connection, Framing};
use base::http::{Headers, Method, RequestHead, Status};
use base::io;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Connections of one core to Keystone: its workers are few and each answer takes it milliseconds.
const EXCHANGES_MAX: usize = 16;
/// Bytes of an answer; a token without its catalog has a few thousand.
const ANSWER_MAX: usize = 256 * 1024;
/// A token of our own that ends sooner is replaced before it is used.
const RENEW_BEFORE: u64 = 60;
/// How long a host's addresses are good.
const ADDRESSES_LIFE: Duration = Duration::from_secs(30);
/// The part of the deadline that one address may take: the next one shall have its turn.
const CONNECT_SHARE: u32 = 3;
/// Pause before the second attempt to connect; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Keystone's word on a token.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// It is one.
    Token(Rc<Token>, Source),
    /// It is none, or none any more.
    Unknown,
    /// Keystone could not be asked.
    Unavailable,
}

/// Who says so.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// Keystone, in these words.
    Keystone(Bytes),
    /// A proxy that asked before.
    Cached,
}

/// The way to Keystone. One per core.
pub(super) struct Keystone {
    settings: Rc<Settings>,
    pool: Pool,
    slots: Slots,
    addresses: RefCell<Vec<SocketAddr>>,
    resolved: Cell<Option<io::Instant>>,
    resolutions: Rc<Flights<(), Vec<SocketAddr>>>,
    own: RefCell<Option<Own>>,
    renewals: Rc<Flights<(), Option<Rc<str>>>>,
}

/// A token of our own.
struct Own {
    token: Rc<str>,
    expires: u64,
}

/// An answer, read whole.
struct Reply {
    status: Status,
    headers: Headers,
    body: Bytes,
}

impl Keystone {
    pub(super) fn new(settings: Rc<Settings>) -> Rc<Keystone> {
        Rc::new(Keystone {
            settings,
            pool: Pool::default(),
            slots: Slots { free: Cell::new(EXCHANGES_MAX), waiting: RefCell::default() },
            addresses: RefCell::default(),
            resolved: Cell::default(),
            resolutions: Flights::new(),
            own: RefCell::default(),
            renewals: Flights::new(),
        })
    }

    /// Asks what a token is. `allow_expired`: also when it ended a while ago (a service works on for its user).
    pub(super) async fn ask(self: Rc<Self>, token: String, allow_expired: bool) -> Answer {
        let deadline = self.settings.deadline;
        match io::timeout(deadline, self.ask_twice(&token, allow_expired)).await {
            Ok(answer) => answer,
            Err(io::Elapsed) => {
                tracing::error!(target: "proxy", seconds = deadline.as_secs(), "Keystone did not answer in time");
                Answer::Unavailable
            }
        }
    }

    async fn ask_twice(self: &Rc<Self>, token: &str, allow_expired: bool) -> Answer {
        // The second time with a fresh token of our own, should the first one have been revoked.
        for _ in 0..2 {
            let Some(own) = self.own_token().await else { return Answer::Unavailable };
            let query = if allow_expired { "?nocatalog&allow_expired=1" } else { "?nocatalog" };
            let mut head = self.head(Method::Get, &format!("/auth/tokens{query}"));
            head.headers.set("X-Auth-Token", own.to_string());
            head.headers.set("X-Subject-Token", token.to_owned());
            let reply = match self.exchange(&head, Bytes::new()).await {
                Ok(reply) => reply,
                Err(error) => {
                    tracing::error!(target: "proxy", %error, "cannot ask Keystone for a token");
                    return Answer::Unavailable;
                }
            };
            match (reply.status.0, Token::parse(&reply.body)) {
                (200, Some(token)) => return Answer::Token(Rc::new(token), Source::Keystone(reply.body)),
                (404, _) => return Answer::Unknown,
                (401, _) => self.forget(&own),
                (status, _) => {
                    tracing::error!(target: "proxy", status, "Keystone does not say what a token is");
                    return Answer::Unavailable;
                }
            }
        }
        tracing::error!(target: "proxy", "Keystone refuses the token that it just gave us");
        Answer::Unavailable
    }

    async fn own_token(self: &Rc<Self>) -> Option<Rc<str>> {
        let now = io::unix_time().as_secs();
        if let Some(own) = &*self.own.borrow()
            && now.saturating_add(RENEW_BEFORE) < own.expires
        {
            return Some(Rc::clone(&own.token));
        }
        let keystone = Rc::clone(self);
        let renewal = || async move {
            let renewed = io::timeout(keystone.settings.deadline, keystone.renew()).await;
            renewed.ok().flatten()
        };
        self.renewals.join((), renewal).await.flatten()
    }

    /// Logs in.
    async fn renew(&self) -> Option<Rc<str>> {
        let mut head = self.head(Method::Post, "/auth/tokens?nocatalog");
        head.headers.set("Content-Type", "application/json");
        let reply = match self.exchange(&head, Bytes::copy_from_slice(&self.settings.credentials)).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::error!(target: "proxy", %error, "cannot log in at Keystone");
                return None;
            }
        };
        let token = reply.headers.get_str("X-Subject-Token").filter(|token| is_sound(token)).map(Rc::from);
        match (reply.status.0, token, Token::parse(&reply.body)) {
            (200 | 201, Some(token), Some(said)) => {
                self.own.replace(Some(Own { token: Rc::clone(&token), expires: said.expires }));
                Some(token)
            }
            (status, ..) => {
                tracing::error!(target: "proxy", status, "Keystone does not let us log in; see the user in [filter:authtoken]");
                None
            }
        }
    }

    /// Our token was refused: the next question begins with another one.
    fn forget(&self, refused: &Rc<str>) {
        let mut own = self.own.borrow_mut();
        if own.as_ref().is_some_and(|own| Rc::ptr_eq(&own.token, refused)) {
            *own = None;
        }
    }

    fn head(&self, method: Method, target: &str) -> RequestHead {
        let keystone = &self.settings.keystone;
        let mut head = RequestHead::new(method, format!("{}{target}", keystone.path));
        head.headers.set("Host", keystone.authority.clone());
        head.headers.set("Accept", "application/json");
        head.headers.set("User-Agent", "martlet-proxy authtoken");
        head
    }

    async fn exchange(&self, head: &RequestHead, body: Bytes) -> std::io::Result<Reply> {
        let _slot = self.slots.take().await;
        for address in self.addresses().await {
            // It may have been closed while it was idle: then a fresh one does it.
            if let Some(connection) = self.pool.take(address)
                && let Ok(reply) = self.exchange_on(connection, head, body.clone()).await
            {
                return Ok(reply);
            }
        }
        let connection = self.connect().await?;
        self.exchange_on(connection, head, body).await
    }

    async fn exchange_on(&self, connection: Connection, head: &RequestHead, body: Bytes) -> std::io::Result<Reply> {
        let closing = Closing(Some(connection.clone()));
        if body.is_empty() {
            connection.send_head(head, Framing::None, true).await?;
        } else {
            connection.send_full(head, body, true).await?;
        }
        // Ends: a server has few informational answers to give, and the deadline stands around all.
        let answer = loop {
            let answer = connection.read_head().await?;
            if answer.status.0 / 100 != 1 {
                break answer;
            }
        };
        let body = connection.read_full(ANSWER_MAX).await?;
        self.pool.put(closing.keep(connection));
        Ok(Reply { status: answer.status, headers: answer.headers, body })
    }

    async fn connect(&self) -> std::io::Result<Connection> {
        let mut pause = FIRST_PAUSE;
        let mut attempt = 0;
        // Ends: after `retries` further attempts.
        loop {
            let error = match self.connect_once().await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            if attempt >= self.settings.retries {
                return Err(error);
            }
            attempt += 1;
            io::sleep(pause).await;
            pause *= 2;
        }
    }

    async fn connect_once(&self) -> std::io::Result<Connection> {
        let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "no address of Keystone is known");
        for address in self.addresses().await {
            match Connection::connect(address, self.settings.deadline / CONNECT_SHARE).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        // Perhaps it moved.
        self.resolved.set(None);
        Err(last)
    }

    /// Where Keystone is; the last that is known while the resolver does not answer.
    async fn addresses(&self) -> Vec<SocketAddr> {
        let is_fresh = |since: io::Instant| io::monotonic().since(since) < ADDRESSES_LIFE;
        if !self.resolved.get().is_some_and(is_fresh) {
            let (host, port) = (self.settings.keystone.host.clone(), self.settings.keystone.port);
            // One at a time: a resolver that hangs holds one thread of the core, not all.
            let resolution = || async move { io::resolve(&host, port).await.unwrap_or_default() };
            let wait = self.settings.deadline / CONNECT_SHARE;
            let found =
                io::timeout(wait, self.resolutions.join((), resolution)).await.ok().flatten().unwrap_or_default();
            if !found.is_empty() {
                self.addresses.replace(found);
                self.resolved.set(Some(io::monotonic()));
            }
        }
        self.addresses.borrow().clone()
    }
}

/// Whether a text can be a token: nothing that could end a header.
pub(super) fn is_sound(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Closes a connection whose exchange was not finished.
struct Closing(Option<Connection>);

impl Closing {
    fn keep(mut self, connection: Connection) -> Connection {
        self.0 = None;
        connection
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            connection.close();
        }
    }
}

/// A fixed number of exchanges at once.
struct Slots {
    free: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
}

impl Slots {
    async fn take(&self) -> Slot<'_> {
        std::future::poll_fn(|context| match self.free.get().checked_sub(1) {
            Some(left) => {
                self.free.set(left);
                Poll::Ready(Slot(self))
            }
            None => {
                self.waiting.borrow_mut().push(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

/// Freed when dropped.
struct Slot<'a>(&'a Slots);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.free.set(self.0.free.get() + 1);
        // All of them: one alone might have gone away meanwhile.
        for waker in self.0.waiting.take() {
            waker.wake();
        }
    }
}
