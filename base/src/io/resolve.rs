//! Names of hosts, real or simulated.

use super::{real, simulated};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// The addresses of `host` (a name, or an address as text), at least one. May take as long as the system's resolver does: put a
/// deadline around it.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("no address is known for {host}"));
    if simulated() {
        // Nodes of the simulator have addresses only.
        return Err(unknown());
    }
    let addresses = real::net::resolve(host.to_owned(), port).await?;
    if addresses.is_empty() { Err(unknown()) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::real::{CoreOptions, run};

    #[test]
    fn names_and_addresses_become_addresses() {
        let found = run(CoreOptions { blocking_threads: 1, ..CoreOptions::default() }, || async {
            let local = resolve("localhost", 5000).await.unwrap();
            let plain = (resolve("127.0.0.2", 1).await.unwrap(), resolve("::1", 2).await.unwrap());
            (local, plain, resolve("a name that no host can have", 1).await.is_err())
        });
        let (local, plain, refused) = found.unwrap();
        assert!(local.iter().all(|address| address.ip().is_loopback() && address.port() == 5000), "{local:?}");
        assert_eq!(plain.0, ["127.0.0.2:1".parse().unwrap()]);
        assert_eq!(plain.1, ["[::1]:2".parse().unwrap()]);
        assert!(refused);
    }
}
