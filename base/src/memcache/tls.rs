//! Driver: encrypted connections to memcached: whom to trust, and the state of one session.
//!
//! rustls does the cryptography and keeps no socket: bytes go in and out through `connection`. Names and certificates are verified
//! always, as Swift's client does.

use super::settings::Tls;
use crate::io as door;
use crate::io::fs;
use bytes::BytesMut;
use rustls::client::{ClientConfig, ClientConnection};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, crypto};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// Whom this machine trusts, where no file is named.
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";
/// A bundle of all authorities of the world is a quarter of this.
const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What all sessions of a core share.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Reads the files an operator named.
    pub async fn load(tls: &Tls) -> io::Result<Trust> {
        let file = tls.ca_file.as_deref().unwrap_or(SYSTEM_CA);
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(certificates(file).await?);
        if added == 0 {
            return Err(invalid(file, "holds no certificate of an authority"));
        }
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ClientConfig::builder_with_details(provider, Arc::new(Clock))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots);
        let config = match &tls.certificate_file {
            None => config.with_no_client_auth(),
            Some(file) => {
                let key_file = tls.key_file.as_ref().unwrap_or(file);
                let key = PrivateKeyDer::from_pem_slice(&read(key_file).await?)
                    .map_err(|_| invalid(key_file, "holds no private key"))?;
                let shown = certificates(file).await?;
                config.with_client_auth_cert(shown, key).map_err(|error| invalid(file, &error.to_string()))?
            }
        };
        Ok(Trust(Arc::new(config)))
    }

    /// The beginning of a session with `host`, a name or an address.
    pub(super) fn session(&self, host: &str) -> io::Result<Session> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a name no certificate can have"))?;
        let mut client = ClientConnection::new(self.0.clone(), name).map_err(io::Error::other)?;
        // What is sent is bounded by the values that are.
        client.set_buffer_limit(None);
        Ok(Session { client })
    }
}

/// One encrypted connection, without its socket.
pub(super) struct Session {
    client: ClientConnection,
}

impl Session {
    /// Whether there is no key yet.
    pub(super) fn is_handshaking(&self) -> bool {
        self.client.is_handshaking()
    }

    /// Encrypts; the bytes are then in [`Session::outgoing`].
    pub(super) fn encrypt(&mut self, plain: &[u8]) -> io::Result<()> {
        self.client.writer().write_all(plain)
    }

    /// What is to be sent now.
    pub(super) fn outgoing(&mut self) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        // Ends: each turn takes a record out, and nothing puts one in.
        while self.client.wants_write() {
            self.client.write_tls(&mut out)?;
        }
        Ok(out)
    }

    /// Takes what came and puts what it meant behind `plain`.
    pub(super) fn decrypt(&mut self, mut came: &[u8], plain: &mut BytesMut) -> io::Result<()> {
        // Ends: each turn takes bytes, or fails.
        while !came.is_empty() {
            if self.client.read_tls(&mut came)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let state =
                self.client.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let start = plain.len();
            plain.resize(start + state.plaintext_bytes_to_read(), 0);
            self.client.reader().read_exact(plain.get_mut(start..).unwrap_or_default())?;
        }
        Ok(())
    }
}

/// Certificates expire by the door's clock.
#[derive(Debug)]
struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(door::unix_time()))
    }
}

async fn certificates(file: &str) -> io::Result<Vec<CertificateDer<'static>>> {
    let bytes = read(file).await?;
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    parsed.map_err(|_| invalid(file, "is no list of certificates"))
}

async fn read(file: &str) -> io::Result<Vec<u8>> {
    let bytes = fs::read(Path::new(file), FILE_BYTES_MAX).await;
    bytes.map_err(|error| io::Error::new(error.kind(), format!("TLS to memcached: {file}: {error}")))
}

fn invalid(file: &str, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("TLS to memcached: {file} {why}"))
}
