//! Driver: a Swift endpoint: authentication, and one request at a time over a kept-alive connection.

use base::http::client::{Connection, Framing};
use base::http::{Method, RequestHead, ResponseHead};
use base::io;
use bytes::Bytes;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Longest wait for one whole exchange: past it the request has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// Where requests go and with what token.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    host: String,
    /// Path of the account: `/v1/AUTH_test`.
    pub(crate) account: String,
    token: Bytes,
}

impl Endpoint {
    /// Authenticates as `ST_AUTH`, `ST_USER`, `ST_KEY` say.
    pub(crate) async fn authenticate(auth: &str, user: &str, key: &str) -> Result<Endpoint, String> {
        let (host, path) = split(auth)?;
        let address = resolve(&host)?;
        let mut head = RequestHead::new(Method::Get, path);
        head.headers.set("Host", host.clone());
        head.headers.set("X-Auth-User", user.to_owned());
        head.headers.set("X-Auth-Key", key.to_owned());
        let mut client = Client { address, connection: None };
        let (answer, _) = client.exchange(&head, None).await.map_err(|error| format!("{auth}: {error}"))?;
        let field = |name: &str| answer.headers.get_str(name).map(str::to_owned);
        match (answer.status.is_success(), field("X-Storage-Url"), field("X-Auth-Token")) {
            (true, Some(url), Some(token)) => {
                let (host, account) = split(&url)?;
                Ok(Endpoint { address: resolve(&host)?, host, account, token: token.into() })
            }
            _ => Err(format!("{auth} answered {} to user {user}; check user and key", answer.status.0)),
        }
    }

    /// A connection of its own.
    pub(crate) fn client(&self) -> Client {
        Client { address: self.address, connection: None }
    }

    /// A request below the account.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestHead {
        let mut head = RequestHead::new(method, format!("{}{path}", self.account));
        head.headers.set("Host", self.host.clone());
        head.headers.set("X-Auth-Token", self.token.clone());
        head
    }
}

/// One kept-alive connection.
pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<Connection>,
}

impl Client {
    /// Sends a request and reads the whole answer; gives its head and the bytes of its body.
    pub(crate) async fn exchange(
        &mut self,
        head: &RequestHead,
        body: Option<Bytes>,
    ) -> std::io::Result<(ResponseHead, u64)> {
        let connection = match self.connection.take().filter(Connection::is_reusable) {
            Some(connection) => connection,
            None => Connection::connect(self.address, DEADLINE).await?,
        };
        let outcome = io::timeout(DEADLINE, exchange(&connection, head, body)).await??;
        self.connection = Some(connection);
        Ok(outcome)
    }
}

async fn exchange(
    connection: &Connection,
    head: &RequestHead,
    body: Option<Bytes>,
) -> std::io::Result<(ResponseHead, u64)> {
    let framing = body.as_ref().map_or(Framing::None, |body| Framing::Length(body.len() as u64));
    connection.send_head(head, framing, true).await?;
    if let Some(body) = body.filter(|body| !body.is_empty()) {
        connection.send_data(body).await?;
    }
    connection.finish().await?;
    let answer = connection.read_head().await?;
    let mut received: u64 = 0;
    while let Some(piece) = connection.read_data().await? {
        received = received.saturating_add(piece.len() as u64);
    }
    Ok((answer, received))
}

/// Host with port, and path, of an `http://` URL.
fn split(url: &str) -> Result<(String, String), String> {
    let rest = url.strip_prefix("http://").ok_or_else(|| format!("{url}: only http:// is measured"))?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    Ok((host, path.to_owned()))
}

fn resolve(host: &str) -> Result<SocketAddr, String> {
    let mut found = host.to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
    found.next().ok_or_else(|| format!("{host} has no address"))
}
