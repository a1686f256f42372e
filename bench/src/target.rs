//! Driver: who is measured: a Swift endpoint, an S3 store, the object service of one storage node, or a server of files; and one request at a time
//! over a kept-alive connection.

use crate::load::Verb;
use crate::s3;
use crate::workload::Workload;
use base::http::client::{Connection, Framing};
use base::http::{Method, RequestHead, ResponseHead};
use base::io;
use base::timestamp::Timestamp;
use bytes::Bytes;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for one whole exchange: past it the request has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// Container that the objects of a Swift endpoint are in, bucket of an S3 store; made when missing, removed at the end when it is empty.
const CONTAINER: &str = "martlet-bench";

/// MD5 of nothing: the ETag of an object without bytes.
const EMPTY: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// Where requests go and what they need.
#[derive(Clone, Debug)]
pub struct Target {
    address: SocketAddr,
    host: String,
    /// Path in front of an object's name: `/v1/AUTH_test/martlet-bench/`.
    folder: String,
    kind: Kind,
    /// Reached as a daemon of ours on the same machine would.
    is_near: bool,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Through a proxy, with a token; the account's path.
    Swift { token: Bytes, account: String },
    /// An S3 store: containers are buckets, and every request is signed.
    S3(s3::Signer),
    /// Straight to a storage node, which has no rights and is told the time of each write.
    Node,
    /// Straight to a container's database: every upload is a row.
    Rows,
    /// A server of files, which takes GET and HEAD; the directory that it serves under `folder`.
    Files(PathBuf),
}

/// A request, and the status that is a good answer.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) head: RequestHead,
    pub(crate) status: u16,
}

/// A page of a container's listing, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The container's name.
    pub container: String,
    /// Rows at most.
    pub limit: u64,
    /// The row in front of the first; empty for the container's first page.
    pub marker: String,
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
        let mut client = Client { address, is_near: false, connection: None };
        let (answer, _) = client.exchange(&head, None).await.map_err(|error| format!("{auth}: {error}"))?;
        let field = |name: &str| answer.headers.get_str(name).map(str::to_owned);
        match (answer.status.is_success(), field("X-Storage-Url"), field("X-Auth-Token")) {
            (true, Some(url), Some(token)) => {
                let (host, account) = split(&url)?;
                let folder = format!("{account}/{CONTAINER}/");
                let kind = Kind::Swift { token: token.into(), account };
                Ok(Target { address: resolve(&host)?, host, folder, kind, is_near: false })
            }
            _ => Err(format!("{auth} answered {} to user {user}; check user and key", answer.status.0)),
        }
    }

    /// An S3 store at `url`, with the names of buckets in the path.
    pub fn s3(url: &str, signer: s3::Signer) -> Result<Target, String> {
        let (host, _) = split(url)?;
        Ok(Target {
            address: resolve(&host)?,
            host,
            folder: format!("/{CONTAINER}/"),
            kind: Kind::S3(signer),
            is_near: false,
        })
    }

    /// The object service of a storage node, its device `device`. No container hears of these objects.
    pub fn node(address: SocketAddr, device: &str) -> Target {
        let folder = format!("/{device}/0/bench/bench/");
        Target { address, host: address.to_string(), folder, kind: Kind::Node, is_near: false }
    }

    /// A container at the container service of a storage node: what is uploaded is a row of its listing, as an object server reports it. `path` is
    /// `/device/partition/account/container`.
    pub fn rows(address: SocketAddr, path: &str) -> Target {
        Target { address, host: address.to_string(), folder: format!("{path}/"), kind: Kind::Rows, is_near: false }
    }

    /// A server of files that serves `directory` at `url`. Objects are put there as files.
    pub fn files(url: &str, directory: &Path) -> Result<Target, String> {
        let (host, path) = split(url)?;
        let folder = format!("{}/", path.trim_end_matches('/'));
        let kind = Kind::Files(directory.to_owned());
        Ok(Target { address: resolve(&host)?, host, folder, kind, is_near: false })
    }

    /// The same by the machine's own way, where there is one, as a proxy beside it comes.
    pub fn near(self) -> Target {
        Target { is_near: true, ..self }
    }

    /// Whether it takes nothing but GET and HEAD; its objects are written as files then.
    pub fn directory(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Files(directory) => Some(directory),
            Kind::Swift { .. } | Kind::S3(_) | Kind::Node | Kind::Rows => None,
        }
    }

    /// Whether it has containers and their listings.
    pub fn has_listings(&self) -> bool {
        matches!(self.kind, Kind::Swift { .. } | Kind::S3(_))
    }

    /// Whether it can do what a workload asks for.
    pub fn can(&self, workload: &Workload) -> bool {
        match &self.kind {
            Kind::Swift { .. } | Kind::S3(_) => true,
            Kind::Node => !matches!(workload.verb, Verb::List(_)),
            Kind::Rows => workload.verb == Verb::Put,
            Kind::Files(_) => workload.only_reads(),
        }
    }

    /// The same with its objects in another container; a target without containers as it is.
    pub fn in_container(&self, container: &str) -> Target {
        let mut target = self.clone();
        if self.has_listings() {
            target.folder = format!("{}/{container}/", self.account_path());
        }
        target
    }

    /// The account's name; empty of a target without accounts.
    pub fn account(&self) -> &str {
        self.account_path().rsplit('/').next().unwrap_or_default()
    }

    /// What stands in front of a container.
    fn account_path(&self) -> &str {
        match &self.kind {
            Kind::Swift { account, .. } => account,
            Kind::S3(_) | Kind::Node | Kind::Rows | Kind::Files(_) => "",
        }
    }

    /// The same through another proxy of the cluster.
    pub fn at(&self, address: SocketAddr) -> Target {
        Target { address, host: address.to_string(), ..self.clone() }
    }

    /// A connection of its own.
    pub fn client(&self) -> Client {
        Client { address: self.address, is_near: self.is_near, connection: None }
    }

    /// Makes what objects lie in.
    pub async fn prepare(&self) -> Result<(), String> {
        self.folder_request(Method::Put).await.map(drop)
    }

    /// Removes it again; what still holds an object stays.
    pub async fn leave(&self) -> Result<(), String> {
        self.folder_request(Method::Delete).await.map(drop)
    }

    /// How many objects the container says it has; zero of a target without containers, and of one that does not say.
    pub async fn object_count(&self) -> Result<u64, String> {
        let answer = self.folder_request(Method::Head).await?;
        let count = answer.and_then(|answer| answer.headers.get_str("X-Container-Object-Count")?.parse().ok());
        Ok(count.unwrap_or(0))
    }

    async fn folder_request(&self, method: Method) -> Result<Option<ResponseHead>, String> {
        if !self.has_listings() {
            return Ok(None);
        }
        let path = self.folder.trim_end_matches('/').to_owned();
        let body = (method == Method::Put).then(Bytes::new);
        match self.client().exchange(&self.head(method, path.clone()), body).await {
            Ok((answer, _)) if answer.status.is_success() => Ok(Some(answer)),
            // S3's word for a bucket that is there.
            Ok((answer, _)) if method == Method::Put && answer.status.0 == 409 => Ok(Some(answer)),
            Ok((answer, _)) => Err(format!("{} {path} answered {}", method.as_str(), answer.status.0)),
            Err(error) => Err(format!("{} {path}: {error}", method.as_str())),
        }
    }

    /// A request for an object.
    pub(crate) fn ask(&self, method: Method, name: &str) -> Ask {
        let status = match method {
            Method::Put if !matches!(self.kind, Kind::S3(_)) => 201,
            Method::Delete => 204,
            _ => 200,
        };
        Ask { head: self.head(method, format!("{}{name}", self.folder)), status }
    }

    /// A request for `length` bytes of an object, from `start` on.
    pub(crate) fn ask_range(&self, name: &str, start: u64, length: u64) -> Ask {
        let mut ask = self.ask(Method::Get, name);
        let last = start.saturating_add(length).saturating_sub(1);
        ask.head.headers.set("Range", format!("bytes={start}-{last}"));
        Ask { status: 206, ..ask }
    }

    /// A request for a page of a listing.
    pub(crate) fn ask_page(&self, page: &Page) -> Ask {
        let Page { container, limit, marker } = page;
        let (words, marked) = match &self.kind {
            Kind::S3(_) => (format!("list-type=2&max-keys={limit}"), "start-after"),
            _ => (format!("format=json&limit={limit}"), "marker"),
        };
        let mut path = format!("{}/{container}?{words}", self.account_path());
        if !marker.is_empty() {
            path.push_str(&format!("&{marked}={marker}"));
        }
        Ask { head: self.head(Method::Get, path), status: 200 }
    }

    fn head(&self, method: Method, path: String) -> RequestHead {
        let mut head = RequestHead::new(method, path);
        head.headers.set("Host", self.host.clone());
        match &self.kind {
            Kind::Swift { token, .. } => head.headers.set("X-Auth-Token", token.clone()),
            Kind::S3(signer) => signer.sign(&mut head, io::unix_time()),
            Kind::Node if !matches!(method, Method::Get | Method::Head) => {
                head.headers.set("X-Timestamp", Timestamp::from_unix(io::unix_time()).internal());
                head.headers.set("Content-Type", "application/octet-stream");
            }
            Kind::Rows => {
                head.headers.set("X-Timestamp", Timestamp::from_unix(io::unix_time()).internal());
                head.headers.set("X-Size", "0");
                head.headers.set("X-Content-Type", "application/octet-stream");
                head.headers.set("X-Etag", EMPTY);
                head.headers.set("X-Backend-Storage-Policy-Index", "0");
            }
            Kind::Node | Kind::Files(_) => {}
        }
        head
    }
}

/// One kept-alive connection, made again when it broke.
pub struct Client {
    address: SocketAddr,
    is_near: bool,
    connection: Option<Connection>,
}

impl Client {
    /// Downloads an object; the connection stays open.
    pub async fn get(&mut self, target: &Target, name: &str) -> Result<u64, String> {
        let ask = target.ask(Method::Get, name);
        match self.exchange(&ask.head, None).await {
            Ok((answer, bytes)) if answer.status.0 == ask.status => Ok(bytes),
            Ok((answer, _)) => Err(format!("GET {name} answered {}", answer.status.0)),
            Err(error) => Err(format!("GET {name}: {error}")),
        }
    }

    /// Sends a request and reads the whole answer; gives its head and the bytes of its body.
    pub async fn exchange(&mut self, head: &RequestHead, body: Option<Bytes>) -> std::io::Result<(ResponseHead, u64)> {
        let connection = match self.connection.take().filter(Connection::is_reusable) {
            Some(connection) => connection,
            None if self.is_near => Connection::connect_near(self.address, DEADLINE).await?,
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
