//! The rings of one core (accounts, containers, objects of each storage policy), loaded from `swift_dir` and read again when their files change.
//!
//! A ring that has vanished or cannot be read leaves the one loaded before in place.

use super::nodes::Nodes;
use base::io;
use ring::Ring;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
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
    /// object.ring.gz, or object-N.ring.gz for the storage policy N
    Object(u32),
}

/// One core's rings.
pub struct Rings {
    account: Rc<RingFile>,
    container: Rc<RingFile>,
    /// By storage policy; 0 is always there.
    objects: BTreeMap<u32, Rc<RingFile>>,
    checked: Cell<io::Instant>,
}

impl Rings {
    /// Loads all of them; a missing one is an error that names the file.
    pub async fn load(swift_dir: &Path, policies: impl Iterator<Item = u32>) -> std::io::Result<Rings> {
        let mut objects = BTreeMap::new();
        for policy in policies {
            let name = if policy == 0 { "object.ring.gz".to_owned() } else { format!("object-{policy}.ring.gz") };
            objects.insert(policy, Rc::new(RingFile::load(swift_dir.join(name)).await?));
        }
        Ok(Rings {
            account: Rc::new(RingFile::load(swift_dir.join("account.ring.gz")).await?),
            container: Rc::new(RingFile::load(swift_dir.join("container.ring.gz")).await?),
            objects,
            checked: Cell::new(io::monotonic()),
        })
    }

    /// The ring as last loaded; `None` for a storage policy that is not configured. Starts a look at the files when the last one is old.
    pub fn get(&self, service: Service) -> Option<Rc<Nodes>> {
        let now = io::monotonic();
        if now.since(self.checked.get()) >= RELOAD_INTERVAL {
            self.checked.set(now);
            let mut files = vec![self.account.clone(), self.container.clone()];
            files.extend(self.objects.values().cloned());
            io::spawn(async move {
                for file in files {
                    file.refresh().await;
                }
            });
        }
        let file = match service {
            Service::Account => &self.account,
            Service::Container => &self.container,
            Service::Object(policy) => self.objects.get(&policy)?,
        };
        Some(file.ring.borrow().clone())
    }
}

struct RingFile {
    path: PathBuf,
    modified_nanos: Cell<i128>,
    ring: RefCell<Rc<Nodes>>,
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
async fn read(path: &Path) -> std::io::Result<(i128, Nodes)> {
    let named = |error: std::io::Error| std::io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let metadata = io::fs::metadata(path).await.map_err(named)?;
    let bytes = io::fs::read(path, MAX_RING_BYTES).await.map_err(named)?;
    let ring = Ring::from_bytes(&bytes).map_err(|error| named(std::io::Error::other(error.message)))?;
    Ok((metadata.modified_nanos, Nodes::new(ring)))
}
