//! Driver: who is measured: a Swift endpoint, or the object service of one storage node; and one request at a time over a kept-alive connection.

use base::http::client::{Connection, Framing};
use base::http::{Method, RequestHead, ResponseHead};
use base::io;
use base::timestamp::Timestamp;
use bytes::Bytes;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Longest wait for one whole exchange: past it the request has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// Container that the objects of a Swift endpoint are in; made when missing, removed at the end when it is empty.
const CONTAINER: &str = "martlet-bench";

/// Where requests go and what they need.
#[derive(Clone, Debug)]
pub struct Target {
    address: SocketAddr,
    host: String,
    /// Path in front of an object's name: `/v1/AUTH_test/martlet-bench/`.
    folder: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Through a proxy, with a token.
    Swift(Bytes),
    /// Straight to a storage node, which has no rights and is told the time of each write.
    Node,
}

impl Target {
    /// Authenticates as `ST_AUTH`, `ST_USER`, `ST_KEY` say.
    pub async fn authenticate(auth: &str, user: &str, key: &str) -> Result<Target, String> {
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
                let folder = format!("{account}/{CONTAINER}/");
                Ok(Target { address: resolve(&host)?, host, folder, kind: Kind::Swift(token.into()) })
            }
            _ => Err(format!("{auth} answered {} to user {user}; check user and key", answer.status.0)),
        }
    }

    /// The object service of a storage node, its device `device`. No container hears of these objects.
    pub fn node(address: SocketAddr, device: &str) -> Target {
        Target { address, host: address.to_string(), folder: format!("/{device}/0/bench/bench/"), kind: Kind::Node }
    }

    /// A connection of its own.
    pub fn client(&self) -> Client {
        Client { address: self.address, connection: None }
    }

    /// Makes what objects lie in.
    pub async fn prepare(&self) -> Result<(), String> {
        self.folder_request(Method::Put).await
    }

    /// Removes it again; what still holds an object stays.
    pub async fn leave(&self) -> Result<(), String> {
        self.folder_request(Method::Delete).await
    }

    async fn folder_request(&self, method: Method) -> Result<(), String> {
        let Kind::Swift(_) = self.kind else { return Ok(()) };
        let path = self.folder.trim_end_matches('/').to_owned();
        let body = (method == Method::Put).then(Bytes::new);
        match self.client().exchange(&self.head(method, path.clone()), body).await {
            Ok((answer, _)) if answer.status.is_success() => Ok(()),
            Ok((answer, _)) => Err(format!("{} {path} answered {}", method.as_str(), answer.status.0)),
            Err(error) => Err(format!("{} {path}: {error}", method.as_str())),
        }
    }

    /// A request for an object.
    pub fn request(&self, method: Method, name: &str) -> RequestHead {
        self.head(method, format!("{}{name}", self.folder))
    }

    fn head(&self, method: Method, path: String) -> RequestHead {
        let mut head = RequestHead::new(method, path);
        head.headers.set("Host", self.host.clone());
        match &self.kind {
            Kind::Swift(token) => head.headers.set("X-Auth-Token", token.clone()),
            Kind::Node if method == Method::Get => {}
            Kind::Node => {
                head.headers.set("X-Timestamp", Timestamp::from_unix(io::unix_time()).internal());
                head.headers.set("Content-Type", "application/octet-stream");
            }
        }
        head
    }
}

/// One kept-alive connection, made again when it broke.
pub struct Client {
    address: SocketAddr,
    connection: Option<Connection>,
}

impl Client {
    /// Sends a request and reads the whole answer; gives its head and the bytes of its body.
    pub async fn exchange(&mut self, head: &RequestHead, body: Option<Bytes>) -> std::io::Result<(ResponseHead, u64)> {
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
    match body {
        Some(body) => connection.send_full(head, body, true).await?,
        None => connection.send_head(head, Framing::None, true).await?,
    }
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
