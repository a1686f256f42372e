//! A memcached of the simulator, with moods.

use crate::io::sim::{NodeId, SimHandle};
use crate::io::{self, Listener, Stream};
use bytes::{Bytes, BytesMut};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

/// How it behaves, from the next command on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Good,
    /// Answers after so many milliseconds.
    Slow(u64),
    /// Takes commands and never answers.
    Silent,
    /// Sends half of its answer and no more.
    Half,
    /// Sends half of its answer and closes.
    Cut,
    /// Answers, and then once more.
    Twice,
    /// Answers, and some time later once more.
    Late,
    /// Gives the value of another key.
    Wrong,
    /// Announces a length that is none.
    Length,
    /// Never ends a line.
    Endless,
    /// Says that it cannot.
    Error,
}

pub(super) const MOODS: [Mood; 12] = [
    Mood::Good,
    Mood::Slow(30),
    Mood::Slow(3_000),
    Mood::Silent,
    Mood::Half,
    Mood::Cut,
    Mood::Twice,
    Mood::Late,
    Mood::Wrong,
    Mood::Length,
    Mood::Endless,
    Mood::Error,
];

/// One server; it forgets everything when its node crashes.
pub(super) struct Fake {
    pub(super) node: NodeId,
    pub(super) address: SocketAddr,
    pub(super) mood: Rc<Cell<Mood>>,
    /// Commands it understood.
    pub(super) seen: Rc<RefCell<Vec<String>>>,
    sim: SimHandle,
}

type Items = Rc<RefCell<BTreeMap<String, (u32, Bytes)>>>;

impl Fake {
    pub(super) fn start(sim: &SimHandle, number: u8) -> Fake {
        let ip = IpAddr::V4(Ipv4Addr::new(10, 0, 2, number));
        let node = sim.node(&format!("memcached{number}"), ip);
        let fake = Fake {
            node,
            address: SocketAddr::new(ip, 11211),
            mood: Rc::new(Cell::new(Mood::Good)),
            seen: Rc::default(),
            sim: sim.clone(),
        };
        fake.restart();
        fake
    }

    pub(super) fn restart(&self) {
        let (address, mood, seen) = (self.address, self.mood.clone(), self.seen.clone());
        self.sim.start(self.node, move || async move {
            let listener = Listener::bind(address, false).unwrap();
            let items = Items::default();
            while let Ok((stream, _)) = listener.accept().await {
                io::spawn(serve(stream, mood.clone(), items.clone(), seen.clone()));
            }
        });
    }
}

async fn serve(stream: Stream, mood: Rc<Cell<Mood>>, items: Items, seen: Rc<RefCell<Vec<String>>>) {
    let mut buffer = BytesMut::new();
    loop {
        while let Some((command, value)) = command(&mut buffer) {
            seen.borrow_mut().push(command.clone());
            let answer = answer(&items, &command, value);
            if !reply(&stream, mood.get(), answer).await {
                return;
            }
        }
        buffer.reserve(4096);
        let (read, back) = stream.read(buffer).await;
        buffer = back;
        if !matches!(read, Ok(1..)) {
            return;
        }
    }
}

/// One whole command and its value.
fn command(buffer: &mut BytesMut) -> Option<(String, Bytes)> {
    let end = buffer.windows(2).position(|pair| pair == b"\r\n")?;
    let line = String::from_utf8(buffer[..end].to_vec()).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    let size = if matches!(words[0], "set" | "add") { words[4].parse::<usize>().unwrap() + 2 } else { 0 };
    if buffer.len() < end + 2 + size {
        return None;
    }
    let _ = buffer.split_to(end + 2);
    let mut value = buffer.split_to(size).freeze();
    value.truncate(size.saturating_sub(2));
    Some((line, value))
}

/// Counters begin at a number of their key, so that an answer for another counter shows.
pub(super) fn base_of(wire_key: &str) -> u64 {
    (u64::from_str_radix(&wire_key[..6], 16).unwrap() + 1) * 1_000_000
}

fn answer(items: &Items, command: &str, value: Bytes) -> Vec<u8> {
    let words: Vec<&str> = command.split(' ').collect();
    let key = words[1].to_owned();
    let mut items = items.borrow_mut();
    match words[0] {
        "get" => {
            let mut out = Vec::new();
            for key in &words[1..] {
                if let Some((flags, bytes)) = items.get(*key) {
                    out.extend_from_slice(format!("VALUE {key} {flags} {}\r\n", bytes.len()).as_bytes());
                    out.extend_from_slice(bytes);
                    out.extend_from_slice(b"\r\n");
                }
            }
            out.extend_from_slice(b"END\r\n");
            out
        }
        "add" if items.contains_key(&key) => b"NOT_STORED\r\n".to_vec(),
        "set" | "add" => {
            items.insert(key, (words[2].parse().unwrap(), value));
            b"STORED\r\n".to_vec()
        }
        "delete" if items.remove(&key).is_some() => b"DELETED\r\n".to_vec(),
        "incr" | "decr" => {
            let Some((_, bytes)) = items.get_mut(&key) else { return b"NOT_FOUND\r\n".to_vec() };
            let held: u64 = String::from_utf8(bytes.to_vec()).unwrap().parse().unwrap();
            let held = held.max(base_of(&key)) + 1;
            *bytes = held.to_string().into();
            format!("{held}\r\n").into_bytes()
        }
        _ => b"NOT_FOUND\r\n".to_vec(),
    }
}

/// Sends an answer as the mood is; whether to go on.
async fn reply(stream: &Stream, mood: Mood, answer: Vec<u8>) -> bool {
    let half = answer[..answer.len() / 2].to_vec();
    // A number does not say whose it is. A server that sends one unasked, just after the next command was sent, cannot be told from one
    // that answers it, by no client.
    let is_number = answer[0].is_ascii_digit();
    let mood = if is_number && matches!(mood, Mood::Twice | Mood::Late) { Mood::Good } else { mood };
    let sent = match mood {
        Mood::Good => stream.write_all(answer.into()).await,
        Mood::Slow(millis) => {
            io::sleep(Duration::from_millis(millis)).await;
            stream.write_all(answer.into()).await
        }
        Mood::Silent => Ok(()),
        Mood::Half => stream.write_all(half.into()).await,
        Mood::Cut => {
            let _ = stream.write_all(half.into()).await;
            return false;
        }
        Mood::Twice => stream.write_all(answer.repeat(2).into()).await,
        Mood::Late => {
            let sent = stream.write_all(answer.clone().into()).await;
            io::sleep(Duration::from_millis(20)).await;
            sent.and(stream.write_all(answer.into()).await)
        }
        Mood::Wrong => {
            let other = "0123456789abcdef0123456789abcdef";
            stream.write_all(format!("VALUE {other} 2 5\r\n\"lie\"\r\nEND\r\n").into()).await
        }
        Mood::Length => {
            let text = String::from_utf8_lossy(&answer).replace(" 2 ", " 2 99999999");
            stream.write_all(text.into_bytes().into()).await
        }
        Mood::Endless => stream.write_all(vec![b'x'; 5_000].into()).await,
        Mood::Error => stream.write_all(Bytes::from_static(b"SERVER_ERROR out of memory storing object\r\n")).await,
    };
    sent.is_ok()
}
