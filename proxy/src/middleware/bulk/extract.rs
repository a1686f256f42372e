//! `?extract-archive`: every file of the archive is PUT as the caller, below the path of the request; containers are made as needed.

use super::archive::{Archive, Entry, Unreadable};
use super::unpack::{Broken, Compression, Unpacked};
use super::{Outcome, Settings};
use crate::middleware::report::status_line;
use crate::pipeline::Application;
use crate::request::ClientRequest;
use base::http::server::{BodyError, BodySource, LocalFuture, RequestBody};
use base::http::{Method, Status};
use base::io::unix_time;
use base::names::Path;
use base::quote::quote;
use base::timestamp::Timestamp;
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;

/// What is counted.
pub(super) const COUNTED: [&str; 1] = ["Number Files Created"];

/// Does it.
pub(super) async fn run(
    settings: Rc<Settings>,
    next: Rc<dyn Application>,
    mut request: ClientRequest,
    compression: Compression,
) -> Outcome {
    if !request.body.is_framed() {
        return Outcome::failed(Status(411), &COUNTED);
    }
    let body = std::mem::replace(&mut request.body, RequestBody::full(""));
    let archive = Archive::new(Unpacked::new(body, compression));
    let mut extraction = Extraction {
        settings,
        next,
        request,
        archive: Rc::new(RefCell::new(Some(archive))),
        last: Timestamp::ZERO,
        accessed: BTreeSet::new(),
        containers: 0,
        created: 0,
        failed: Vec::new(),
        worst: Status(400),
    };
    let end = extraction.run().await;
    extraction.outcome(end.err())
}

type Refused = (Status, String);

struct Extraction {
    settings: Rc<Settings>,
    next: Rc<dyn Application>,
    request: ClientRequest,
    /// Lent to the body of the object being stored; put back after each piece.
    archive: Rc<RefCell<Option<Archive>>>,
    /// Time of the last write: two files of one name must not have the same.
    last: Timestamp,
    accessed: BTreeSet<String>,
    containers: usize,
    created: u64,
    failed: Vec<(String, String)>,
    worst: Status,
}

impl Extraction {
    async fn run(&mut self) -> Result<(), Refused> {
        // Ends: every turn reads an entry of a bounded body.
        while self.failed.len() < self.settings.max_failed_extractions {
            let Some(entry) = self.entry().await? else { break };
            self.store(entry).await?;
        }
        Ok(())
    }

    async fn entry(&mut self) -> Result<Option<Entry>, Refused> {
        let mut archive = self.archive.borrow_mut().take().ok_or_else(|| refused(Status(500)))?;
        let entry = archive.next().await;
        self.archive.replace(Some(archive));
        entry.map_err(|unreadable| match unreadable {
            Unreadable::NoArchive(why) | Unreadable::Broken(Broken::Data(why)) => {
                (Status(400), format!("Invalid Tar File: {why}"))
            }
            Unreadable::Broken(Broken::Body(error)) => refused(Status(match error {
                BodyError::Disconnected => 499,
                BodyError::TimedOut => 408,
                BodyError::Malformed => 400,
            })),
        })
    }

    async fn store(&mut self, entry: Entry) -> Result<(), Refused> {
        let Some(name) = self.place(&entry.name) else { return Ok(()) };
        let shown = quote(name.get(..name.len().min(self.settings.max_path_length)).unwrap_or_default());
        let path = format!("/{}/{}", quote(self.request.path.account.as_bytes()), quote(&name));
        let Some(path) = Path::parse(path.as_bytes()).ok().filter(|path| path.object.is_some()) else {
            self.failed.push((shown, status_line(Status(412))));
            return Ok(());
        };
        if entry.size > self.settings.max_file_size {
            self.failed.push((shown, status_line(Status(413))));
            return Ok(());
        }
        let container_failure = self.need_container(&path).await?;
        let status = self.put(path.clone(), entry).await;
        self.accessed.extend(path.container.map(String::from));
        if status.is_success() {
            self.created += 1;
            return Ok(());
        }
        self.failed.extend(container_failure);
        self.failed.push((shown, status_line(status)));
        if status.0 == 401 {
            return Err(refused(Status(401)));
        }
        if status.0 >= 500 {
            self.worst = Status(502);
        }
        Ok(())
    }

    /// `container/object` of a file; `None` for what would be no object.
    fn place(&self, name: &[u8]) -> Option<Vec<u8>> {
        let name = name.strip_prefix(b"./").unwrap_or(name);
        let name = name.get(name.iter().position(|&byte| byte != b'/')?..)?;
        let path = &self.request.path;
        let below = [path.container.as_deref(), path.object.as_deref()];
        let mut whole: Vec<u8> = below.into_iter().flatten().collect::<Vec<_>>().join("/").into_bytes();
        while whole.last() == Some(&b'/') {
            whole.pop();
        }
        if !whole.is_empty() {
            whole.push(b'/');
        }
        whole.extend_from_slice(name);
        whole.contains(&b'/').then_some(whole)
    }

    /// Makes the container of `path` if there is none. A failure is not the end: the object may be allowed all the same.
    async fn need_container(&mut self, path: &Path) -> Result<Option<(String, String)>, Refused> {
        let container = path.container.as_deref().unwrap_or_default();
        if self.accessed.contains(container) {
            return Ok(None);
        }
        let path = Path { object: None, ..path.clone() };
        let mut status = self.next.call(self.request.subrequest(Method::Head, path.clone()).by("EA")).await.head.status;
        if status.is_success() {
            return Ok(None);
        }
        if status.0 == 404 {
            let mut put = self.request.subrequest(Method::Put, path.clone()).by("EA");
            put.timestamp = self.now();
            status = self.next.call(put).await.head.status;
            if status.is_success() {
                self.containers += 1;
                let most = self.settings.max_containers_per_extraction;
                if self.containers > most {
                    return Err((Status(400), format!("More than {most} containers to create from tar.")));
                }
                return Ok(None);
            }
        }
        if status.0 == 401 {
            return Err(refused(Status(401)));
        }
        Ok(Some((format!("/v1{}", path.quoted()), status_line(status))))
    }

    async fn put(&mut self, path: Path, entry: Entry) -> Status {
        let mut put = self.request.subrequest(Method::Put, path).by("EA");
        put.timestamp = self.now();
        for (name, value) in self.request.headers.iter() {
            let lower = name.to_ascii_lowercase();
            if lower.starts_with(b"x-object-meta-") || matches!(lower.as_slice(), b"x-delete-at" | b"x-delete-after") {
                put.headers.append(name.clone(), value.clone());
            }
        }
        for (name, value) in entry.fields {
            if let Some(name) = header_of(&name).filter(|_| !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)))
            {
                put.headers.set(name, value);
            }
        }
        let file = File { archive: Rc::clone(&self.archive) };
        put.body = RequestBody::streaming(Some(entry.size), Box::new(file));
        self.next.call(put).await.head.status
    }

    fn now(&mut self) -> Timestamp {
        let after = Timestamp::from_raw(self.last.raw().saturating_add(1), 0);
        self.last = Timestamp::from_unix(unix_time()).max(after);
        self.last
    }

    fn outcome(self, end: Option<Refused>) -> Outcome {
        let (status, text) = match end {
            Some(end) => end,
            None if !self.failed.is_empty() => (self.worst, String::new()),
            None if self.created == 0 => (Status(400), "Invalid Tar File: No Valid Files".to_owned()),
            None => (Status(201), String::new()),
        };
        Outcome { status, text, counts: vec![("Number Files Created", self.created)], failed: self.failed }
    }
}

fn refused(status: Status) -> Refused {
    // As Swift's report: the status says it.
    (status, String::new())
}

/// What an extended attribute of a file is called here; other attributes are not metadata of an object.
fn header_of(name: &str) -> Option<String> {
    let attribute =
        ["SCHILY.xattr.user.", "LIBARCHIVE.xattr.user."].iter().find_map(|start| name.strip_prefix(start))?;
    if attribute == "mime_type" {
        return Some("Content-Type".to_owned());
    }
    let item = attribute.strip_prefix("meta.")?;
    let is_token = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    item.bytes().all(|byte| is_token(byte) || byte >= 0x80).then(|| format!("X-Object-Meta-{item}"))
}

/// The bytes of the archive's current file.
struct File {
    archive: Rc<RefCell<Option<Archive>>>,
}

impl BodySource for File {
    fn next(&mut self) -> LocalFuture<'_, Option<io::Result<Bytes>>> {
        Box::pin(async {
            let Some(mut archive) = self.archive.borrow_mut().take() else {
                return Some(Err(io::ErrorKind::BrokenPipe.into()));
            };
            let piece = archive.piece().await;
            self.archive.replace(Some(archive));
            match piece {
                Ok(piece) => piece.map(Ok),
                Err(Unreadable::Broken(Broken::Body(BodyError::TimedOut))) => Some(Err(io::ErrorKind::TimedOut.into())),
                Err(Unreadable::Broken(Broken::Body(_))) => Some(Err(io::ErrorKind::UnexpectedEof.into())),
                Err(_) => Some(Err(io::ErrorKind::InvalidData.into())),
            }
        })
    }
}
