//! The three rings of one core, loaded from `swift_dir` and read again when their files change.
//!
//! A ring that has vanished or cannot be read leaves the one loaded before in place.

use base::io;
use ring::Ring;
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// How often the files' modification times are looked at, as Swift.
const RELOAD_INTERVAL: Duration = Duration::from_secs(15);
/// Largest ring file taken: part power 23 with four-byte ids stays below it.
const MAX_RING_BYTES: usize = 256 << 20;

/// Which ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// account.ring.gz
    Account,
    /// container.ring.gz
    Container,
    /// object.ring.gz (policy 0)
    Object,
}

/// One core's rings.
pub struct Rings {
    account: Rc<RingFile>,
    container: Rc<RingFile>,
    object: Rc<RingFile>,
    checked: Cell<io::Instant>,
}

impl Rings {
    /// Loads all three; a missing one is an error that names the file.
    pub async fn load(swift_dir: &Path) -> std::io::Result<Rings> {
        Ok(Rings {
            account: Rc::new(RingFile::load(swift_dir.join("account.ring.gz")).await?),
            container: Rc::new(RingFile::load(swift_dir.join("container.ring.gz")).await?),
            object: Rc::new(RingFile::load(swift_dir.join("object.ring.gz")).await?),
            checked: Cell::new(io::monotonic()),
        })
    }

    /// The ring as last loaded. Starts a look at the files when the last one is old.
    pub fn get(&self, service: Service) -> Rc<Ring> {
        let now = io::monotonic();
        if now.since(self.checked.get()) >= RELOAD_INTERVAL {
            self.checked.set(now);
            let files = [self.account.clone(), self.container.clone(), self.object.clone()];
            io::spawn(async move {
                for file in files {
                    file.refresh().await;
                }
            });
        }
        match service {
            Service::Account => self.account.ring.borrow().clone(),
            Service::Container => self.container.ring.borrow().clone(),
            Service::Object => self.object.ring.borrow().clone(),
        }
    }
}

struct RingFile {
    path: PathBuf,
    modified_nanos: Cell<i128>,
    ring: RefCell<Rc<Ring>>,
}

impl RingFile {
    async fn load(path: PathBuf) -> std::io::Result<RingFile> {
        let (modified_nanos, ring) = read(&path).await?;
        Ok(RingFile { path, modified_nanos: Cell::new(modified_nanos), ring: RefCell::new(Rc::new(ring)) })
    }

    async fn refresh(&self) {
        match io::fs::metadata(&self.path).await {
            Ok(metadata) if metadata.modified_nanos == self.modified_nanos.get() => return,
            Ok(_) => {}
            Err(error) => {
                return tracing::warn!(path = %self.path.display(), %error, "ring not found, the old one stays");
            }
        }
        match read(&self.path).await {
            Ok((modified_nanos, ring)) => {
                self.modified_nanos.set(modified_nanos);
                *self.ring.borrow_mut() = Rc::new(ring);
            }
            Err(error) => tracing::warn!(%error, "ring not readable, the old one stays"),
        }
    }
}

/// The modification time is taken first: a ring replaced in between is read again at the next look.
async fn read(path: &Path) -> std::io::Result<(i128, Ring)> {
    let named = |error: std::io::Error| std::io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let metadata = io::fs::metadata(path).await.map_err(named)?;
    let bytes = io::fs::read(path, MAX_RING_BYTES).await.map_err(named)?;
    let ring = Ring::from_bytes(&bytes).map_err(|error| named(std::io::Error::other(error.message)))?;
    Ok((metadata.modified_nanos, ring))
}
