//! Core: which servers a key is asked of, in Swift's order.
//!
//! Every server has fifty points: the MD5 of `<server>-<number>` as hex. A key looks for its place among the sorted points, **skips
//! the first point behind it** (Swift adds one before it looks, so all proxies must) and takes the servers that follow, each once.
//! The server's name is hashed as the operator wrote it: `127.0.0.1` and `127.0.0.1:11211` are different servers.

use super::key::WireKey;

/// Points of one server.
const POINTS: usize = 50;

/// The points of all servers.
#[derive(Clone, Debug)]
pub struct Ring {
    /// Sorted; with the server's place in the list.
    points: Vec<(WireKey, usize)>,
    servers: usize,
}

impl Ring {
    /// Of servers as configured. A name that stands there twice is one server to Swift; give each once.
    pub fn new(servers: &[String]) -> Ring {
        let mut points: Vec<(WireKey, usize)> = Vec::with_capacity(servers.len() * POINTS);
        for (place, server) in servers.iter().enumerate() {
            points.extend((0..POINTS).map(|number| (WireKey::of(&format!("{server}-{number}")), place)));
        }
        points.sort_unstable();
        Ring { points, servers: servers.len() }
    }

    /// The servers of `key`, at most `tries`.
    pub fn servers(&self, key: &WireKey, tries: usize) -> Vec<usize> {
        let wanted = tries.min(self.servers);
        let place = self.points.partition_point(|(point, _)| point <= key);
        let behind = self.points.iter().cycle().skip(place + 1).take(self.points.len());
        let mut found = Vec::with_capacity(wanted);
        for (_, server) in behind {
            if found.len() >= wanted {
                break;
            }
            if !found.contains(server) {
                found.push(*server);
            }
        }
        found
    }
}
