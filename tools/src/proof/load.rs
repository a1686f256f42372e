//! Many clients at one storage node: PUTs of all sizes, overwriting, deletions. What is asked and what is acknowledged goes into a history.

use super::history::History;
use super::write_log::Counter;
use base::checksum::md5_hex;
use base::http::client::{Connection, Framing};
use base::http::{Method, RequestHead};
use base::io;
use base::io::sim::Random;
use base::timestamp::Timestamp;
use bytes::{Bytes, BytesMut};
use std::cell::RefCell;
use std::io::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Longest wait for a connection or an answer.
const DEADLINE: Duration = Duration::from_secs(20);
/// Names of one client: few, so that most operations meet something.
const NAMES: u64 = 12;
/// More than any body.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A connection to the object service that is made again when it breaks.
pub struct Client {
    address: SocketAddr,
    connection: Option<Connection>,
}

impl Client {
    /// Not connected yet.
    pub fn new(address: SocketAddr) -> Self {
        Client { address, connection: None }
    }

    /// One request; status and whole body.
    pub async fn request(&mut self, head: RequestHead, body: Option<Bytes>) -> std::io::Result<(u16, Bytes)> {
        let reused = self.connection.take().filter(Connection::is_reusable);
        let address = self.address;
        let exchange = async move {
            let connection = match reused {
                Some(connection) => connection,
                None => Connection::connect(address, DEADLINE).await?,
            };
            let sent = match body {
                Some(body) => connection.send_full(&head, body, true).await,
                None => connection.send_head(&head, Framing::None, true).await,
            };
            let answer = connection.read_head().await;
            let answer = sent.and(answer)?;
            let body = connection.read_full(BODY_BYTES_MAX).await?;
            Ok::<_, Error>((connection, answer.status.0, body))
        };
        let (connection, status, body) =
            io::timeout(DEADLINE, exchange).await.unwrap_or_else(|elapsed| Err(elapsed.into()))?;
        self.connection = Some(connection);
        Ok((status, body))
    }
}

/// The backend path of a name.
pub fn target(name: &str) -> String {
    format!("/d1/0/a/c/{name}")
}

/// Lets `clients` work for `span`. A client whose request fails stops: the node is gone.
pub async fn work(
    address: SocketAddr,
    history: Rc<RefCell<History>>,
    log: Rc<Option<Counter>>,
    clients: u32,
    span: Duration,
) {
    let end = io::monotonic().after(span);
    let one = |number| {
        let (history, log) = (history.clone(), log.clone());
        io::spawn(async move {
            let mut random = Random::new(io::random_u64());
            let mut client = Client::new(address);
            // Ends: at `end`; every turn has a deadline.
            while io::monotonic() < end {
                if step(&mut client, number, &mut random, &history, log.as_ref().as_ref()).await.is_err() {
                    return;
                }
            }
        })
    };
    let tasks: Vec<_> = (0..clients).map(one).collect();
    for task in tasks {
        task.await;
    }
}

async fn step(
    client: &mut Client,
    number: u32,
    random: &mut Random,
    history: &RefCell<History>,
    log: Option<&Counter>,
) -> std::io::Result<()> {
    let name = format!("o{number}-{}", random.below(NAMES));
    let at = Timestamp::from_unix(io::unix_time()).internal();
    let body = (!random.chance(0.15)).then(|| body(random));
    let method = if body.is_some() { Method::Put } else { Method::Delete };
    let mut head = RequestHead::new(method, target(&name));
    head.headers.set("X-Timestamp", at);
    if body.is_some() {
        head.headers.set("Content-Type", "application/octet-stream");
    }
    history.borrow_mut().begin(&name, body.as_deref().map(md5_hex));
    let (status, _) = client.request(head, body).await?;
    // 404 to a DELETE: there was nothing, and the tombstone is written all the same.
    if !matches!((method, status), (Method::Put, 201) | (Method::Delete, 204 | 404)) {
        return Err(Error::other(format!("{name}: {} was answered {status}", method.as_str())));
    }
    // Read behind the answer: whatever made it durable is within this number.
    let seen = log.map_or(Ok(0), Counter::entries)?;
    history.borrow_mut().acknowledge(&name, seen);
    Ok(())
}

fn body(random: &mut Random) -> Bytes {
    let size = match random.below(100) {
        0..3 => 0,
        3..85 => random.index(8000),
        85..95 => 60_000 + random.index(10_000),
        _ => 262_000 + random.index(60_000),
    };
    let mut bytes = BytesMut::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend_from_slice(&random.bits().to_le_bytes());
    }
    bytes.truncate(size);
    bytes.freeze()
}
