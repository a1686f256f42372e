//! A small cluster of scripted backends in the simulator, for tests of the verbs: six nodes, one device each, three replicas.

use crate::app;
use crate::config::Config;
use crate::core::Core;
use crate::facts::news::Letters;
use crate::request::{Authority, ClientRequest, RequestParts};
use crate::respond;
use base::body_check::{self, Verdict};
use base::checksum::md5_hex;
use base::http::server::{
    BodyError, BodySource, Drain, Handler, LocalFuture, Request, RequestBody, Response, ResponseBody, ServerLimits,
    accept_loop,
};
use base::http::{Headers, Method, ResponseHead, Status};
use base::io::sim::{NodeId, Sim, SimHandle, SimOptions};
use base::io::{self, Job, Listener};
use base::names::Path;
use base::quote::Query;
use base::range::{Resolved, resolve};
use base::timestamp::Timestamp;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

/// Backends.
pub(crate) const NODES: usize = 6;
const PORT: u16 = 6200;

/// How a backend behaves for objects.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mood {
    /// Stores and serves.
    Good,
    /// Answers every object request with this status.
    Says(u16),
    /// Answers `100 Continue`, then stops reading.
    Stuck,
    /// Never answers.
    Silent,
    /// Ends bodies after so many bytes.
    Cuts(usize),
}

/// What a backend was asked.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) node: usize,
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: Headers,
}

#[derive(Clone)]
struct Stored {
    body: Bytes,
    headers: Headers,
    time: String,
}

/// The state of all backends, shared with the test.
pub(crate) struct Backends {
    pub(crate) moods: RefCell<Vec<Mood>>,
    pub(crate) seen: RefCell<Vec<Seen>>,
    stored: RefCell<BTreeMap<(usize, String), Stored>>,
    deleted: RefCell<BTreeMap<(usize, String), String>>,
    /// Rows of accounts and containers that list any: names and types. Every replica has them.
    pub(crate) listings: RefCell<BTreeMap<String, BTreeMap<String, &'static str>>>,
    /// Nodes that take the MD5 of a body from the proxy.
    pub(crate) checking: RefCell<Vec<usize>>,
    /// What stood behind bodies.
    pub(crate) verdicts: RefCell<Vec<Option<Verdict>>>,
    /// Bodies on their way to the proxy.
    pub(crate) bodies: Rc<Cell<usize>>,
}

impl Backends {
    pub(crate) fn set(&self, node: usize, mood: Mood) {
        self.moods.borrow_mut()[node] = mood;
    }
    pub(crate) fn set_all(&self, mood: Mood) {
        for node in 0..NODES {
            self.set(node, mood.clone());
        }
    }
    /// Nodes that hold an object of that path, in order.
    pub(crate) fn holders(&self, path: &str) -> Vec<usize> {
        let stored = self.stored.borrow();
        stored.keys().filter(|(_, name)| name == path).map(|(node, _)| *node).collect()
    }
    pub(crate) fn forget(&self, node: usize, path: &str) {
        self.stored.borrow_mut().remove(&(node, path.to_owned()));
    }
    /// Requests for objects (or containers, accounts) with that verb.
    pub(crate) fn requests(&self, method: Method, path: &str) -> Vec<Seen> {
        let seen = self.seen.borrow();
        seen.iter().filter(|seen| seen.method == method && name_of(&seen.target) == path).cloned().collect()
    }
    pub(crate) fn clear(&self) {
        self.seen.borrow_mut().clear();
    }
    pub(crate) fn body(&self, node: usize, path: &str) -> Option<Bytes> {
        self.stored.borrow().get(&(node, path.to_owned())).map(|stored| stored.body.clone())
    }
}

/// `/a/c/o` of `/device/partition/a/c/o?query`.
fn name_of(target: &str) -> String {
    let path = target.split('?').next().unwrap_or_default();
    format!("/{}", path.splitn(4, '/').nth(3).unwrap_or_default())
}

/// Everything a test has at hand; runs on the client's node.
pub(crate) struct World {
    pub(crate) core: Rc<Core>,
    /// All cores of the proxy; `core` is the first.
    pub(crate) cores: Vec<Rc<Core>>,
    pub(crate) backends: Rc<Backends>,
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) sim: SimHandle,
    clock: RefCell<u64>,
}

/// Runs `test` against a fresh cluster.
pub(crate) fn run<F: Future<Output = ()> + 'static>(seed: u64, test: impl FnOnce(Rc<World>) -> F + 'static) {
    run_in(seed, SimOptions::default(), test);
}

/// The same in a world with faults; they are off until the test turns them on.
pub(crate) fn run_in<F: Future<Output = ()> + 'static>(
    seed: u64,
    options: SimOptions,
    test: impl FnOnce(Rc<World>) -> F + 'static,
) {
    run_cores(seed, options, 1, "", test);
}

/// The same with so many cores, and with these lines in `[filter:cache]`; no filter without a line.
pub(crate) fn run_cores<F: Future<Output = ()> + 'static>(
    seed: u64,
    options: SimOptions,
    cores: usize,
    cache: &'static str,
    test: impl FnOnce(Rc<World>) -> F + 'static,
) {
    run_config(seed, options, Config { cores, ..config(cache, "") }, test);
}

/// One core, with these lines for the application.
pub(crate) fn run_with<F: Future<Output = ()> + 'static>(
    seed: u64,
    app: &str,
    test: impl FnOnce(Rc<World>) -> F + 'static,
) {
    run_config(seed, SimOptions::default(), config("", app), test);
}

fn run_config<F: Future<Output = ()> + 'static>(
    seed: u64,
    options: SimOptions,
    config: Config,
    test: impl FnOnce(Rc<World>) -> F + 'static,
) {
    let cores = config.cores;
    let sim = Sim::new(seed, options);
    let handle = sim.handle();
    let backends = Rc::new(Backends {
        moods: RefCell::new(vec![Mood::Good; NODES]),
        seen: RefCell::default(),
        stored: RefCell::default(),
        deleted: RefCell::default(),
        listings: RefCell::default(),
        checking: RefCell::default(),
        verdicts: RefCell::default(),
        bodies: Rc::default(),
    });
    sim.run(async move {
        handle.set_faults(false);
        let mut nodes = Vec::new();
        for number in 0..NODES {
            let node = handle.node(&format!("n{number}"), ip(number));
            let backends = backends.clone();
            handle.start(node, move || serve(number, backends));
            nodes.push(node);
        }
        write_rings().await;
        io::sleep(Duration::from_millis(10)).await;
        let config = Rc::new(config);
        let letters = Letters::new(cores);
        let mut open = Vec::new();
        for number in 0..cores {
            open.push(Core::open(config.clone(), number, letters.clone()).await.unwrap());
        }
        let clock = RefCell::new(180_000_000_000_000);
        let world = World { core: open[0].clone(), cores: open, backends, nodes, sim: handle, clock };
        test(Rc::new(world)).await;
    });
}

fn ip(number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 1, u8::try_from(number).unwrap() + 1))
}

fn config(cache: &str, app: &str) -> Config {
    let member = if cache.is_empty() { "" } else { "cache " };
    let proxy = format!(
        "[DEFAULT]\nswift_dir = /etc/swift\n[pipeline:main]\npipeline = {member}proxy-server\n\
        [app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\nallow_account_management = true\n\
        conn_timeout = 0.5\nnode_timeout = 5\nrecoverable_node_timeout = 3\n{app}\n\
        [filter:cache]\nuse = egg:swift#memcache\n{cache}\n"
    );
    let swift = "[swift-hash]\nswift_hash_path_suffix = suffix\n";
    Config::parse("proxy-server.conf", &proxy, swift).unwrap()
}

async fn write_rings() {
    let dir = std::path::Path::new("/etc/swift");
    io::fs::create_dir_all(dir).await.unwrap();
    for name in ["account", "container", "object"] {
        io::fs::write_atomic(&dir.join(format!("{name}.ring.gz")), ring(), 0o644).await.unwrap();
    }
}

/// Eight partitions; partition `p` is on devices `p`, `p + 1` and `p + 2`, modulo the number of devices.
pub(crate) fn ring() -> Vec<u8> {
    let devices: Vec<serde_json::Value> = (0..NODES)
        .map(|number| {
            serde_json::json!({"id": number, "region": 1, "zone": number, "ip": ip(number).to_string(), "port": PORT,
                "replication_ip": ip(number).to_string(), "replication_port": PORT, "device": format!("d{number}"),
                "weight": 1.0, "meta": ""})
        })
        .collect();
    let head = serde_json::json!({"byteorder": "little", "devs": devices, "part_shift": 29, "replica_count": 3});
    let head = head.to_string();
    let mut bytes = b"R1NG\0\x01".to_vec();
    bytes.extend_from_slice(&u32::try_from(head.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(head.as_bytes());
    for row in 0..3_usize {
        for partition in 0..8_usize {
            bytes.extend_from_slice(&u16::try_from((partition + row) % NODES).unwrap().to_le_bytes());
        }
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&bytes).unwrap();
    encoder.finish().unwrap()
}

/// An answer with its body collected; the error is how far it came.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Bytes,
    pub(crate) complete: bool,
}

impl World {
    /// A request with a fresh timestamp, already authorized as the owner's.
    pub(crate) fn request(&self, method: Method, path: &str) -> ClientRequest {
        let mut clock = self.clock.borrow_mut();
        *clock += 1;
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Box::new(RequestParts {
            method,
            path: Path::parse(path.as_bytes()).unwrap(),
            query: Query::parse(query.as_bytes()),
            headers: Headers::new(),
            body: RequestBody::full(""),
            trans_id: "tx1".into(),
            identity: Default::default(),
            authority: Authority::Granted,
            timestamp: Timestamp::from_raw(*clock, 0),
            is_owner: true,
            refusal: None,
            ends_with_slash: false,
            has_own_time: false,
            is_synced: false,
            remote: "10.9.9.9".parse().unwrap(),
            source: None,
            parent: None,
        })
    }

    pub(crate) async fn send(&self, request: ClientRequest) -> Answer {
        self.send_to(&self.core, request).await
    }

    /// To one of several cores.
    pub(crate) async fn send_to(&self, core: &Rc<Core>, request: ClientRequest) -> Answer {
        let response = app::handle(core, request).await;
        let mut body = Vec::new();
        let mut complete = true;
        match response.body {
            ResponseBody::Empty => {}
            ResponseBody::Full(bytes) => body.extend_from_slice(&bytes),
            ResponseBody::Stream { mut source, .. } => {
                while let Some(piece) = source.next().await {
                    match piece {
                        Ok(bytes) => body.extend_from_slice(&bytes),
                        Err(_) => {
                            complete = false;
                            break;
                        }
                    }
                }
            }
        }
        let headers = response.head.headers;
        Answer { status: response.head.status.0, headers, body: body.into(), complete }
    }

    pub(crate) async fn call(&self, method: Method, path: &str) -> Answer {
        self.send(self.request(method, path)).await
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        let mut request = self.request(Method::Put, path);
        request.body = RequestBody::full(body.into());
        self.send(request).await
    }

    /// Starts every node that was crashed.
    pub(crate) fn restart(&self) {
        for (number, node) in self.nodes.iter().enumerate() {
            let backends = self.backends.clone();
            self.sim.start(*node, move || serve(number, backends));
        }
    }

    /// Account and container to put objects into.
    pub(crate) async fn make_container(&self) {
        assert_eq!(self.call(Method::Put, "/AUTH_a/c").await.status, 201);
        self.backends.clear();
    }
}

/// A body in pieces, with an optional failure at the end.
pub(crate) struct Pieces {
    pub(crate) left: Vec<Bytes>,
    pub(crate) fails: bool,
}

impl BodySource for Pieces {
    fn next(&mut self) -> LocalFuture<'_, Option<std::io::Result<Bytes>>> {
        Box::pin(async {
            match self.left.pop() {
                Some(bytes) => Some(Ok(bytes)),
                None if self.fails => Some(Err(std::io::ErrorKind::UnexpectedEof.into())),
                None => None,
            }
        })
    }
}

/// The last piece first, as [`Pieces`] gives them.
fn pieces(mut body: Bytes) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    while !body.is_empty() {
        pieces.insert(0, body.split_to(body.len().min(65_536)));
    }
    pieces
}

/// A body that is counted as long as it lives.
struct Served {
    pieces: Pieces,
    open: Rc<Cell<usize>>,
}

impl BodySource for Served {
    fn next(&mut self) -> LocalFuture<'_, Option<std::io::Result<Bytes>>> {
        self.pieces.next()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
    }
}

struct Fake {
    number: usize,
    backends: Rc<Backends>,
}

async fn serve(number: usize, backends: Rc<Backends>) {
    let listener = Listener::bind(SocketAddr::new(ip(number), PORT), false).unwrap();
    let limits = ServerLimits {
        client_timeout: Duration::from_secs(60),
        keepalive_timeout: Duration::from_secs(60),
        max_request_line: 8192,
        max_header_line: 8192,
        max_header_block: 65536,
        max_headers: 200,
        has_proxy_line: false,
    };
    accept_loop(listener, Rc::new(limits), 100, Rc::new(Fake { number, backends }), Drain::new()).await;
}

impl Handler for Fake {
    fn handle(self: Rc<Self>, request: Request) -> Job<Response> {
        Job::new(async move { self.answer(request).await })
    }
}

impl Fake {
    async fn answer(&self, request: Request) -> Response {
        let target = String::from_utf8(request.head.target.to_vec()).unwrap();
        let name = name_of(&target);
        let method = request.head.method;
        let headers = request.head.headers.clone();
        self.backends.seen.borrow_mut().push(Seen { node: self.number, method, target, headers });
        if method == Method::Update {
            let mut request = request;
            let Ok(body) = request.body.collect(usize::MAX).await else { return Response::empty(Status(499)) };
            let stored = Stored { body, headers: request.head.headers, time: String::new() };
            self.backends.stored.borrow_mut().insert((self.number, name), stored);
            return Response::empty(Status(202));
        }
        if name.matches('/').count() < 3 {
            return self.database(method, &name, request);
        }
        let mood = self.backends.moods.borrow()[self.number].clone();
        match mood {
            Mood::Says(status) => return Response::empty(Status(status)),
            Mood::Silent => io::sleep(Duration::from_secs(3600)).await,
            _ => {}
        }
        match method {
            Method::Put => self.put(name, request, mood == Mood::Stuck).await,
            Method::Delete => self.delete(&name, &request.head.headers),
            Method::Post => self.post(&name, &request.head.headers),
            _ => self.get(&name, method, &request.head.headers, &mood),
        }
    }

    /// A page behind the marker, at most as long as asked for.
    fn list(&self, name: &str, query: &[u8]) -> String {
        let query = Query::parse(query);
        let text = |name| String::from_utf8(query.get(name).unwrap_or_default().to_vec()).unwrap();
        let listings = self.backends.listings.borrow();
        let rows = listings.get(name).into_iter().flatten().filter(|(row, _)| **row > text("marker"));
        let rows = rows.map(|(row, kind)| serde_json::json!({"name": row, "content_type": kind}));
        serde_json::Value::Array(rows.take(text("limit").parse().unwrap_or(10_000)).collect()).to_string()
    }

    /// Accounts and containers: there once they were PUT.
    fn database(&self, method: Method, name: &str, request: Request) -> Response {
        let key = (self.number, name.to_owned());
        let query = request.head.query().to_vec();
        let mut stored = self.backends.stored.borrow_mut();
        let known = stored.contains_key(&key);
        let status = match (method, known) {
            (Method::Put, known) => {
                let time = request.head.headers.get_str("X-Timestamp").unwrap().to_owned();
                stored.insert(key, Stored { body: Bytes::new(), headers: request.head.headers, time });
                if known { 202 } else { 201 }
            }
            (_, false) => 404,
            (Method::Delete, true) => {
                let gone = stored.remove(&key).map_or(String::new(), |gone| gone.time);
                self.backends.deleted.borrow_mut().insert(key, gone);
                204
            }
            (Method::Get, true) => 200,
            (_, true) => 204,
        };
        let mut response = match status {
            200 => Response::full(Status(200), "application/json; charset=utf-8", self.list(name, &query)),
            _ => Response::empty(Status(status)),
        };
        let was_there = self.backends.deleted.borrow().contains_key(&(self.number, name.to_owned()));
        if status == 404 && was_there && name.matches('/').count() == 1 {
            response.head.headers.set("X-Account-Status", "Deleted");
        }
        if matches!(status, 200 | 204)
            && let Some(found) = stored.get(&(self.number, name.to_owned()))
        {
            let is_account = name.matches('/').count() == 1;
            copy(&found.headers, &mut response.head.headers, if is_account { "x-account-" } else { "x-container-" });
            if is_account {
                let below = format!("{name}/");
                let inside: std::collections::BTreeSet<&String> =
                    stored.keys().map(|(_, name)| name).filter(|name| name.starts_with(&below)).collect();
                let containers = inside.iter().filter(|name| name.matches('/').count() == 2).count();
                response.head.headers.set("X-Account-Container-Count", containers.to_string());
            }
        }
        response
    }

    async fn put(&self, name: String, mut request: Request, stuck: bool) -> Response {
        let headers = request.head.headers;
        let time = headers.get_str("X-Timestamp").unwrap().to_owned();
        let key = (self.number, name);
        let existing = self.backends.stored.borrow().get(&key).map(|stored| stored.time.clone());
        if existing.is_some() && headers.contains("If-None-Match") {
            return Response::empty(Status(412));
        }
        if let Some(existing) = existing.filter(|existing| *existing >= time) {
            return Response::empty(Status(409)).header("X-Backend-Timestamp", existing);
        }
        if self.backends.checking.borrow().contains(&self.number) {
            request.body.continue_with(body_check::FIELD, body_check::SCHEME);
        }
        let mut body = Vec::new();
        while let Some(piece) = request.body.next().await {
            match piece {
                Ok(bytes) => body.extend_from_slice(&bytes),
                Err(BodyError::Disconnected) => return Response::empty(Status(499)),
                Err(_) => return Response::empty(Status(400)),
            }
            if stuck {
                io::sleep(Duration::from_secs(3600)).await;
            }
        }
        self.backends.verdicts.borrow_mut().push(request.body.trailers().and_then(Verdict::decode));
        let etag = md5_hex(&body);
        if headers.get_str("Etag").is_some_and(|sent| sent != etag) {
            return Response::empty(Status(422));
        }
        self.backends.stored.borrow_mut().insert(key, Stored { body: body.into(), headers, time });
        Response::empty(Status(201)).header("Etag", format!("\"{etag}\""))
    }

    fn delete(&self, name: &str, headers: &Headers) -> Response {
        let time = headers.get_str("X-Timestamp").unwrap().to_owned();
        let key = (self.number, name.to_owned());
        let found = self.backends.stored.borrow_mut().remove(&key).is_some();
        self.backends.deleted.borrow_mut().insert(key, time.clone());
        Response::empty(Status(if found { 204 } else { 404 })).header("X-Backend-Timestamp", time)
    }

    fn post(&self, name: &str, headers: &Headers) -> Response {
        let mut stored = self.backends.stored.borrow_mut();
        match stored.get_mut(&(self.number, name.to_owned())) {
            Some(stored) => {
                stored.headers = headers.clone();
                Response::empty(Status(202))
            }
            None => Response::empty(Status(404)),
        }
    }

    fn get(&self, name: &str, method: Method, headers: &Headers, mood: &Mood) -> Response {
        let key = (self.number, name.to_owned());
        let Some(stored) = self.backends.stored.borrow().get(&key).cloned() else {
            let response = Response::empty(Status(404));
            return match self.backends.deleted.borrow().get(&key) {
                Some(time) => response.header("X-Backend-Timestamp", time.clone()),
                None => response,
            };
        };
        let length = stored.body.len();
        let mut head = ResponseHead::new(Status(200));
        head.headers.set("Etag", format!("\"{}\"", md5_hex(&stored.body)));
        for name in ["X-Timestamp", "X-Backend-Timestamp", "X-Backend-Data-Timestamp"] {
            head.headers.set(name, stored.time.clone());
        }
        copy(&stored.headers, &mut head.headers, "x-object-meta-");
        head.headers.set("Content-Type", stored.headers.get("Content-Type").cloned().unwrap_or_default());
        let (mut first, mut end) = (0, length);
        if method == Method::Get {
            match resolve(headers.get("Range").map(|value| &value[..]), length as u64) {
                Resolved::Whole => {}
                Resolved::Ranges(ranges) => {
                    let (from, to) = ranges[0];
                    head.status = Status(206);
                    head.headers.set("Content-Range", format!("bytes {from}-{to}/{length}"));
                    (first, end) = (usize::try_from(from).unwrap(), usize::try_from(to).unwrap() + 1);
                }
                Resolved::Unsatisfiable => head.status = Status(416),
            }
        } else {
            head.headers.set("Content-Length", length.to_string());
            return respond::response(head, ResponseBody::Empty);
        }
        let body = stored.body.slice(first..end);
        let kept = if let Mood::Cuts(bytes) = mood { body.len().min(*bytes) } else { body.len() };
        let length = Some(body.len() as u64);
        let pieces = Pieces { left: pieces(body.slice(..kept)), fails: kept < body.len() };
        self.backends.bodies.set(self.backends.bodies.get() + 1);
        let source = Served { pieces, open: Rc::clone(&self.backends.bodies) };
        respond::response(head, ResponseBody::Stream { length, source: Box::new(source) })
    }
}

fn copy(source: &Headers, target: &mut Headers, prefix: &str) {
    for (name, value) in source.iter() {
        if String::from_utf8_lossy(name).to_ascii_lowercase().starts_with(prefix) {
            target.set(name.clone(), value.clone());
        }
    }
}
