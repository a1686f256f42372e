//! A client of the simulated cluster: one request at a time, each with a deadline.

use base::http::client::{Connection, Framing};
use base::http::{Headers, Method, RequestHead};
use base::io::timeout;
use bytes::Bytes;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Longest wait for an answer: longer than anything the proxy waits for.
const DEADLINE: Duration = Duration::from_secs(60);
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// More than any body of the workload.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A whole answer.
pub(super) struct Answer {
    /// The code.
    pub(super) status: u16,
    /// The fields.
    pub(super) headers: Headers,
    /// The bytes.
    pub(super) body: Bytes,
}

/// See the module.
pub(super) struct Client {
    proxy: SocketAddr,
    connection: Option<Connection>,
    token: Option<Bytes>,
}

impl Client {
    /// Not connected yet.
    pub(super) fn new(proxy: SocketAddr) -> Self {
        Self { proxy, connection: None, token: None }
    }

    /// Sends one request below the account, with a token; gives the whole answer, or an error after which nobody knows.
    pub(super) async fn request(
        &mut self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: Bytes,
    ) -> io::Result<Answer> {
        self.authenticate().await?;
        let mut head = RequestHead::new(method, format!("/v1/AUTH_test{path}"));
        if let Some(token) = &self.token {
            head.headers.set("X-Auth-Token", token.clone());
        }
        for &(name, value) in fields {
            head.headers.set(name.to_owned(), value.to_owned());
        }
        let answer = self.exchange(head, body).await?;
        if answer.status == 401 {
            self.token = None;
        }
        Ok(answer)
    }

    async fn authenticate(&mut self) -> io::Result<()> {
        if self.token.is_some() {
            return Ok(());
        }
        let mut head = RequestHead::new(Method::Get, "/auth/v1.0");
        head.headers.set("X-Auth-User", "test:tester");
        head.headers.set("X-Auth-Key", "testing");
        let answer = self.exchange(head, Bytes::new()).await?;
        self.token = answer.headers.get("X-Auth-Token").cloned();
        match self.token {
            Some(_) => Ok(()),
            None => Err(io::Error::other(format!("no token, but status {}", answer.status))),
        }
    }

    async fn exchange(&mut self, head: RequestHead, body: Bytes) -> io::Result<Answer> {
        let reused = self.connection.take().filter(Connection::is_reusable);
        let proxy = self.proxy;
        let exchange = async move {
            let connection = match reused {
                Some(connection) => connection,
                None => Connection::connect(proxy, CONNECT_DEADLINE).await?,
            };
            // A failed write does not end it: the proxy may have answered already.
            let sent = match head.method {
                Method::Put | Method::Post => connection.send_full(&head, body, true).await,
                _ => connection.send_head(&head, Framing::None, true).await,
            };
            let answer = connection.read_head().await;
            let answer = sent.and(answer)?;
            let body = connection.read_full(BODY_BYTES_MAX).await?;
            Ok::<_, io::Error>((connection, Answer { status: answer.status.0, headers: answer.headers, body }))
        };
        let (connection, answer) = timeout(DEADLINE, exchange).await.unwrap_or_else(|elapsed| Err(elapsed.into()))?;
        self.connection = Some(connection);
        Ok(answer)
    }
}
