//! Core: the line that a TLS terminator in front says before all else, so that we know the client's address: PROXY protocol, version 1
//! (haproxy's `proxy-protocol.txt`, section 2.1).

use crate::http::parser::Refusal;
use bytes::{Buf, BytesMut};
use std::net::{IpAddr, SocketAddr};

/// Longest line with its end, by the protocol.
const LINE_MAX: usize = 107;

/// Takes the line from what has come; `None` until it is whole. The client's address, if the line tells one.
pub(super) fn take(buffer: &mut BytesMut) -> Option<Result<Option<SocketAddr>, Refusal>> {
    let end = buffer.iter().take(LINE_MAX).position(|&byte| byte == b'\n');
    let Some(end) = end else {
        let is_other = buffer.len() >= LINE_MAX || !buffer.iter().zip(b"PROXY ").all(|(is, wanted)| is == wanted);
        return is_other.then_some(Err(INVALID));
    };
    let line = buffer.get(..end).unwrap_or_default();
    let client = parse(line.strip_suffix(b"\r").unwrap_or(line));
    buffer.advance(end + 1);
    Some(client)
}

const INVALID: Refusal = Refusal::bad("Invalid PROXY line");

fn parse(line: &[u8]) -> Result<Option<SocketAddr>, Refusal> {
    let line = std::str::from_utf8(line).map_err(|_| INVALID)?;
    let mut words = line.split(' ');
    let (proxy, family) = (words.next(), words.next());
    if proxy != Some("PROXY") {
        return Err(INVALID);
    }
    match family {
        // Whatever is behind it is to be ignored.
        Some("UNKNOWN") => Ok(None),
        Some(family @ ("TCP4" | "TCP6")) => {
            let words: Vec<&str> = words.take(5).collect();
            let [client, server, client_port, server_port] = words.as_slice() else { return Err(INVALID) };
            let address = |text: &str| text.parse().ok().filter(|ip: &IpAddr| ip.is_ipv4() == (family == "TCP4"));
            let port = |text: &str| text.parse::<u16>().ok();
            let known = (address(client), address(server), port(client_port), port(server_port));
            let (Some(client), Some(_), Some(port), Some(_)) = known else { return Err(INVALID) };
            Ok(Some(SocketAddr::new(client, port)))
        }
        _ => Err(INVALID),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> (Option<Result<Option<SocketAddr>, Refusal>>, BytesMut) {
        let mut buffer = BytesMut::from(text);
        (take(&mut buffer), buffer)
    }

    #[test]
    fn the_client_is_told_and_what_follows_stays() {
        let (client, rest) = taken("PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\nGET / HTTP/1.1\r\n");
        assert_eq!((client, &rest[..]), (Some(Ok("192.0.2.7:56324".parse().ok())), &b"GET / HTTP/1.1\r\n"[..]));
        let (client, _) = taken("PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\n");
        assert_eq!(client, Some(Ok("[2001:db8::7]:56324".parse().ok())));
        for unknown in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 x y z \r\n"] {
            assert_eq!(taken(unknown).0, Some(Ok(None)));
        }
    }

    #[test]
    fn a_part_is_waited_for_only_while_it_may_be_a_line() {
        let line = "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n";
        for end in 0..line.len() {
            assert_eq!(taken(&line[..end]).0, None, "{end}");
        }
        for other in ["G", "GET / HTTP/1.1\r\n", "proxy ", "PROXY\t", &"PROXY UNKNOWN ".repeat(10)] {
            assert_eq!(taken(other).0, Some(Err(INVALID)), "{other}");
        }
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for bad in [
            "",
            "PROXY",
            "PROXY ",
            "PROXY TCP4",
            "PROXY TCP4 192.0.2.7 192.0.2.1 1",
            "PROXY TCP4 192.0.2.7 192.0.2.1 1 2 3",
            "PROXY TCP4 192.0.2.7 192.0.2.1 1 65536",
            "PROXY TCP4 192.0.2.7 192.0.2.1 x 2",
            "PROXY TCP4 2001:db8::7 2001:db8::1 1 2",
            "PROXY TCP6 192.0.2.7 192.0.2.1 1 2",
            "PROXY TCP4  192.0.2.7 192.0.2.1 1 2",
            "PROXY UDP4 192.0.2.7 192.0.2.1 1 2",
            "PROXY TCP4 name 192.0.2.1 1 2",
            "GET / HTTP/1.1",
        ] {
            assert_eq!(taken(&format!("{bad}\r\n")).0, Some(Err(INVALID)), "{bad}");
        }
    }
}
