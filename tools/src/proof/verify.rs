//! Asks a node for every name of a history: each must hold one of what it may.

use super::history::History;
use super::load::{Client, target};
use base::checksum::md5_hex;
use base::http::{Method, RequestHead};
use std::net::SocketAddr;

/// All that is wrong on a disk that has seen `point` entries of its log.
pub async fn all(address: SocketAddr, history: &History, point: u64) -> Vec<String> {
    let mut client = Client::new(address);
    let mut complaints = Vec::new();
    for name in history.names() {
        let holds = match client.request(RequestHead::new(Method::Get, target(name)), None).await {
            Ok((200, body)) => Some(md5_hex(&body)),
            Ok((404, _)) => None,
            Ok((status, _)) => {
                complaints.push(format!("{name}: GET is answered {status}"));
                continue;
            }
            Err(error) => {
                complaints.push(format!("{name}: {error}"));
                continue;
            }
        };
        let allowed = history.allowed(name, point);
        if !allowed.contains(&holds) {
            complaints.push(format!("{name} holds {holds:?}, allowed are {allowed:?}"));
        }
    }
    complaints
}
