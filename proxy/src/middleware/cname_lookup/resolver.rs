//! A small resolver: asks name servers over UDP for the other name of a name, and remembers what they said.
//!
//! # Invariants
//!
//! - Every question has its own socket at a port chosen by the system and its own number, and only its server's reply is read: who
//!   cannot see the question has to guess both.
//! - What is remembered, and how many names are asked for at a time, is bounded.
//! - What could not be found out is not remembered.

use super::dns::{self, Answer};
use base::io::{self, Datagrams, Instant, fs};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// Where name servers listen.
pub(super) const PORT: u16 = 53;
/// Wait for one server before the next is asked.
const TRY: Duration = Duration::from_secs(1);
/// Pause between two rounds where no server could be reached.
const PAUSE: Duration = Duration::from_millis(100);
/// Names remembered per core, about 200 bytes each.
const NAMES_MAX: usize = 10_000;
/// Names asked for at a time per core: host names are the clients' to choose.
const ASKING_MAX: usize = 64;
/// How long it is remembered that a name leads nowhere (Swift's).
const NOTHING_FOR: Duration = Duration::from_secs(60);
/// Longest time a name is remembered, whatever its server says.
const REMEMBERED_MAX: Duration = Duration::from_secs(86_400);
/// The system's settings; more servers than these no resolver asks.
const SYSTEM: &str = "/etc/resolv.conf";
const SYSTEM_BYTES_MAX: usize = 64 * 1024;
const SYSTEM_SERVERS_MAX: usize = 3;

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is another name for this one.
    Target(String),
    /// It leads nowhere, or nobody could say where.
    Nothing,
    /// Too many names are asked for.
    Busy,
}

/// The resolver. One per core.
pub(super) struct Resolver {
    servers: Vec<SocketAddr>,
    memory: RefCell<Memory>,
    asking: Cell<usize>,
}

#[derive(Default)]
struct Memory {
    names: BTreeMap<String, (Option<String>, Instant)>,
    by_end: BTreeSet<(Instant, String)>,
}

impl Resolver {
    /// Asks these servers; without any, those of the system.
    pub(super) fn new(servers: Vec<SocketAddr>) -> Resolver {
        Resolver { servers, memory: RefCell::default(), asking: Cell::new(0) }
    }

    /// What `name` is another name for, by `end` at the latest.
    pub(super) async fn find(&self, name: &str, end: Instant) -> Found {
        let key = name.to_ascii_lowercase();
        if let Some(known) = self.memory.borrow_mut().get(&key, io::monotonic()) {
            return known.map_or(Found::Nothing, Found::Target);
        }
        if self.asking.get() >= ASKING_MAX {
            return Found::Busy;
        }
        let _asking = Asking::new(&self.asking);
        let left = end.since(io::monotonic());
        let answer = io::timeout(left, self.ask(name)).await.unwrap_or(Answer::Failed);
        let (target, life) = match answer {
            Answer::Cname { target, ttl } => (Some(target), Duration::from_secs(ttl.into())),
            Answer::Nothing => (None, NOTHING_FOR),
            Answer::Failed => return Found::Nothing,
        };
        self.memory.borrow_mut().insert(key, target.clone(), io::monotonic(), life.min(REMEMBERED_MAX));
        target.map_or(Found::Nothing, Found::Target)
    }

    /// One server after the other, round and round until one has an answer or all have said that they have none.
    async fn ask(&self, name: &str) -> Answer {
        if dns::question(0, name).is_none() {
            return Answer::Nothing;
        }
        let mut servers = if self.servers.is_empty() { system_servers().await } else { self.servers.clone() };
        // Ends: with an answer, or by the caller's deadline.
        while !servers.is_empty() {
            let mut left = Vec::with_capacity(servers.len());
            for server in servers {
                match io::timeout(TRY, ask_one(server, name)).await {
                    Ok(Ok(Answer::Failed)) => {}
                    Ok(Ok(answer)) => return answer,
                    Ok(Err(error)) => {
                        tracing::debug!(%server, %error, "a name server cannot be asked");
                        left.push(server);
                    }
                    Err(io::Elapsed) => left.push(server),
                }
            }
            servers = left;
            io::sleep(PAUSE).await;
        }
        Answer::Failed
    }
}

/// Waits for the server's reply to this very question.
async fn ask_one(server: SocketAddr, name: &str) -> std::io::Result<Answer> {
    let [low, high, ..] = io::random_u64().to_le_bytes();
    let id = u16::from_le_bytes([low, high]);
    let Some(question) = dns::question(id, name) else { return Ok(Answer::Nothing) };
    let socket = Datagrams::connect(server)?;
    socket.send(&Bytes::from(question), server)?;
    // Ends: by the caller's deadline; other datagrams are forged or late.
    loop {
        let (reply, sender) = socket.receive(dns::REPLY_BYTES_MAX).await?;
        if sender == server
            && let Some(answer) = dns::answer(&reply, id, name)
        {
            return Ok(answer);
        }
    }
}

/// Read each time: a file of a few lines beside a question to another machine.
async fn system_servers() -> Vec<SocketAddr> {
    let text = fs::read(Path::new(SYSTEM), SYSTEM_BYTES_MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let address = |line: &str| line.strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok();
    let mut servers: Vec<IpAddr> =
        text.lines().filter_map(|line| address(line.trim())).take(SYSTEM_SERVERS_MAX).collect();
    if servers.is_empty() {
        servers.push(Ipv4Addr::LOCALHOST.into());
    }
    servers.into_iter().map(|server| SocketAddr::new(server, PORT)).collect()
}

/// Counts a name that is asked for.
struct Asking<'a>(&'a Cell<usize>);

impl<'a> Asking<'a> {
    fn new(count: &'a Cell<usize>) -> Asking<'a> {
        count.set(count.get() + 1);
        Asking(count)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Memory {
    fn get(&mut self, name: &str, now: Instant) -> Option<Option<String>> {
        let (target, end) = self.names.get(name)?;
        if now < *end {
            return Some(target.clone());
        }
        self.remove(name);
        None
    }

    /// In a full memory what would be forgotten next goes first.
    fn insert(&mut self, name: String, target: Option<String>, now: Instant, life: Duration) {
        if life.is_zero() {
            return;
        }
        self.remove(&name);
        if self.names.len() >= NAMES_MAX
            && let Some((_, first)) = self.by_end.pop_first()
        {
            self.names.remove(&first);
        }
        let end = now.after(life);
        self.by_end.insert((end, name.clone()));
        self.names.insert(name, (target, end));
    }

    fn remove(&mut self, name: &str) {
        if let Some((_, end)) = self.names.remove(name) {
            self.by_end.remove(&(end, name.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_bounded_and_forgets_in_time() {
        let mut memory = Memory::default();
        let start = Instant::from_nanos(0);
        for number in 0..NAMES_MAX as u64 + 5 {
            memory.insert(format!("n{number}"), None, start, Duration::from_secs(1 + number));
        }
        assert_eq!((memory.names.len(), memory.by_end.len()), (NAMES_MAX, NAMES_MAX));
        assert_eq!(memory.get("n4", start), None, "the first to go went first");
        assert_eq!(memory.get("n5", start.after(Duration::from_secs(5))), Some(None));
        assert_eq!(memory.get("n5", start.after(Duration::from_secs(6))), None);
        memory.insert("n6".into(), Some("x".into()), start, Duration::from_secs(100));
        memory.insert("n7".into(), Some("x".into()), start, Duration::ZERO);
        assert_eq!(memory.get("n6", start.after(Duration::from_secs(99))), Some(Some("x".into())));
        assert_eq!(memory.names.len(), memory.by_end.len());
    }
}
