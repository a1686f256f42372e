//! What one core of a storage node owns and knows. One per core; shared by its tasks through `Rc`, never between cores.
//!
//! # Invariants
//!
//! - A device belongs to the core whose port the rings name for it; all three rings must agree (`ownership`).
//! - A device is open only while this process holds its lock file, so no second process writes to it.
//! - The rings are replaced as a whole and only by ones that were read completely; an unreadable file leaves the old ones.
//!
//! Called by `server`, which opens the node, and by every service and background loop, which read it.

use crate::config::{Config, Ports};
use crate::container::Intake;
use crate::db;
use crate::neighbours::{Letters, Neighbours};
use crate::peer::Peers;
use crate::store::busy::Directories;
use crate::store::packed;
use crate::store::stock::invalidation::Invalidations;
use base::io::{self, fs, kv::Kv};
use base::sync_realms::RealmsFile;
use ring::Ring;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// How often the ring files are looked at (Swift's `ring_check_interval`) and missing devices are tried again.
const CHECK_INTERVAL: Duration = Duration::from_secs(15);
/// How long the answer "this device is there" holds: a look at the disk for every request would cost more than the request.
const USABLE_FOR: Duration = Duration::from_millis(250);
/// Bytes of a ring file; the largest rings in use are some tens of megabytes.
const RING_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Held by the process that serves the device. Not Swift's `.lock`, which its daemons take and release.
const LOCK_FILE: &str = "martlet.lock";
/// Directory of the key-value environment.
const ROWS_DIRECTORY: &str = "martlet-db";
/// Rows on their way there.
const JOURNAL_FILE: &str = "martlet-db.journal";

/// One core's view of its node.
pub struct Node {
    /// The settings.
    pub config: Rc<Config>,
    /// Which core this is.
    pub core: usize,
    /// Rings, replaced when their files change.
    pub rings: RefCell<Rings>,
    /// Clusters that containers may be synced to.
    pub realms: RealmsFile,
    /// Connections to other servers.
    pub peers: Rc<Peers>,
    /// The other cores of this process.
    pub(crate) neighbours: Rc<Neighbours>,
    devices: RefCell<BTreeMap<String, Rc<Device>>>,
    /// Work that was acknowledged or must end before the process does: commits, parked updates.
    unfinished: Rc<Cell<usize>>,
}

/// The three rings, as last loaded.
#[derive(Clone)]
pub struct Rings {
    /// object.ring.gz (policy 0).
    pub object: Rc<Ring>,
    /// container.ring.gz
    pub container: Rc<Ring>,
    /// account.ring.gz
    pub account: Rc<Ring>,
}

/// One device (disk) of this core.
pub struct Device {
    /// Directory name under `devices`.
    pub name: String,
    /// Its directory.
    pub root: PathBuf,
    /// Rows of accounts and containers; tables are `db::TABLES`, directory `<root>/martlet-db`.
    pub rows: Kv,
    /// The way of rows of objects into it.
    pub(crate) intake: Rc<Intake>,
    /// The packed store of its objects; `None` on a device with the stock layout.
    pub packed: Option<Rc<packed::Store>>,
    /// Object directories with a write under way.
    pub(crate) busy: Directories,
    /// Changes on their way to the replicators.
    pub(crate) invalidations: Invalidations,
    poisoned: Cell<bool>,
    lane: fs::Lane,
    silent: Cell<bool>,
    usable_until: Cell<io::Instant>,
    /// Space as last asked for, and until when that answer holds.
    space: Cell<Option<(io::Instant, fs::Space)>>,
    _lock: fs::Lock,
}

impl Device {
    /// Whether `bytes` more leave the share `reserve` of the file system free.
    pub async fn has_room(&self, bytes: u64, reserve: f64) -> std::io::Result<bool> {
        let now = io::monotonic();
        let space = match self.space.get() {
            Some((until, space)) if now < until => space,
            _ => {
                let space = fs::space(&self.root).await?;
                self.space.set(Some((now.after(USABLE_FOR), space)));
                space
            }
        };
        #[expect(clippy::cast_precision_loss, reason = "a share of bytes; the last digits do not matter")]
        let (left, total) = (space.available.saturating_sub(bytes) as f64, space.total as f64);
        Ok(space.available > bytes && left > total * reserve)
    }

    /// Stops the use of a device whose storage failed: nothing is retried, every request is answered 507 until a restart.
    pub fn poison(&self, what: &str, error: &Error) {
        if !self.poisoned.replace(true) {
            tracing::error!(device = %self.name, %error, "{what} failed; the device answers 507 until this process is restarted");
        }
    }

    /// Whether the disk has owed an answer for longer than `limit`. It may come back: then the device is used again.
    fn is_silent(&self, limit: Duration) -> bool {
        let silence = self.lane.silent_for();
        let is_silent = silence > limit;
        if is_silent != self.silent.replace(is_silent) {
            let seconds = silence.as_secs_f64();
            match is_silent {
                true => {
                    tracing::error!(device = %self.name, seconds, "the disk does not answer; until it does the device answers 507")
                }
                false => tracing::warn!(device = %self.name, "the disk answers again"),
            }
        }
        is_silent
    }

    /// Whether the storage failed, as far as anything that used it knows.
    pub fn is_poisoned(&self) -> bool {
        if let Some(error) = self.rows.failed() {
            self.poison("the row database", &error);
        }
        if let Some(error) = self.packed.as_ref().and_then(|store| store.failed()) {
            self.poison("the packed store", &error);
        }
        self.poisoned.get()
    }
}

/// Held while something must not be lost at shutdown; see [`Node::unfinished`].
pub struct Unfinished(Rc<Cell<usize>>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Node {
    /// Loads the rings and opens the devices of this core. A device whose directory is missing, or whose disk fails, answers 507 and is tried
    /// again later: it does not keep the others from serving. One that another process serves, or whose file system cannot hold
    /// objects, is an error.
    pub async fn open(config: Rc<Config>, core: usize) -> std::io::Result<Rc<Node>> {
        Node::open_beside(config, core, Letters::new(1)).await
    }

    /// The same for one of several cores, which can be reached by these letters.
    pub async fn open_beside(config: Rc<Config>, core: usize, letters: Letters) -> std::io::Result<Rc<Node>> {
        let rings = load(&config.swift_dir).await?;
        let node = Rc::new(Node {
            peers: Peers::new(config.conn_timeout, config.node_timeout),
            neighbours: Neighbours::new(letters, config.node_timeout),
            rings: RefCell::new(rings),
            realms: RealmsFile::new(&config.swift_dir),
            devices: RefCell::default(),
            unfinished: Rc::default(),
            config,
            core,
        });
        for name in node.owned()? {
            match node.open_device(&name).await {
                Err(error) if is_mistake(&error) => return Err(error),
                Err(error) => tracing::error!(device = %name, %error, "not opened; it answers 507 and is tried again"),
                Ok(()) => {}
            }
        }
        Ok(node)
    }

    /// Which core of this process serves the containers at an address.
    pub(crate) fn core_of_containers(&self, address: SocketAddr) -> Option<usize> {
        let is_ours = address.ip() == self.config.ring_ip;
        self.config.cores.iter().position(|ports| is_ours && ports.container == address.port())
    }

    /// The device, if this core owns it and it is usable now (directory there; mounted when `mount_check`; not silent for longer than
    /// `device_timeout`). `None` is 507.
    pub async fn device(&self, name: &str) -> Option<Rc<Device>> {
        let device = self.devices.borrow().get(name).cloned()?;
        if device.is_poisoned() {
            return None;
        }
        let now = io::monotonic();
        if now < device.usable_until.get() {
            return Some(device);
        }
        if device.is_silent(self.config.device_timeout) || !is_usable(&device.root, self.config.mount_check).await {
            return None;
        }
        device.usable_until.set(now.after(USABLE_FOR));
        Some(device)
    }

    /// Whether the storage of this device failed.
    pub fn is_poisoned(&self, name: &str) -> bool {
        self.devices.borrow().get(name).is_some_and(|device| device.is_poisoned())
    }

    /// The open devices of this core, in the order of their names; for background loops, which still ask `device` before use.
    pub fn devices(&self) -> Vec<Rc<Device>> {
        self.devices.borrow().values().cloned().collect()
    }

    /// The rings of this moment.
    pub fn rings(&self) -> Rings {
        self.rings.borrow().clone()
    }

    /// Marks work that a drain waits for while the guard lives.
    pub fn unfinished(&self) -> Unfinished {
        self.unfinished.set(self.unfinished.get() + 1);
        Unfinished(self.unfinished.clone())
    }

    /// Waits until no marked work is left, at most `deadline`; false when some was.
    pub async fn settled(&self, deadline: Duration) -> bool {
        let end = io::monotonic().after(deadline);
        while self.unfinished.get() > 0 {
            if io::monotonic() >= end {
                return false;
            }
            io::sleep(Duration::from_millis(10)).await;
        }
        true
    }

    /// Looks at the ring files and at missing devices every 15 s, until the process ends.
    pub async fn watch(self: Rc<Self>) {
        let mut seen = modified(&self.config.swift_dir).await;
        loop {
            io::sleep(CHECK_INTERVAL).await;
            let found = modified(&self.config.swift_dir).await;
            if found != seen {
                match load(&self.config.swift_dir).await {
                    Ok(rings) => {
                        *self.rings.borrow_mut() = rings;
                        tracing::info!(core = self.core, "rings replaced");
                    }
                    Err(error) => tracing::warn!(%error, "the old rings stay in use"),
                }
                seen = found;
            }
            self.open_missing().await;
            // Also where no request comes the operator is told.
            for device in self.devices() {
                device.is_poisoned();
                device.is_silent(self.config.device_timeout);
            }
        }
    }

    async fn open_missing(self: &Rc<Self>) {
        let names = match self.owned() {
            Ok(names) => names,
            Err(error) => return tracing::warn!(%error, "no device is opened from the new rings"),
        };
        for name in names {
            let is_open = self.devices.borrow().contains_key(&name);
            if !is_open && let Err(error) = self.open_device(&name).await {
                tracing::error!(device = %name, %error, "not opened");
            }
        }
    }

    /// Names of the devices this core owns by the rings.
    fn owned(&self) -> std::io::Result<Vec<String>> {
        let owners =
            ownership(&self.config, &self.rings()).map_err(|message| Error::new(ErrorKind::InvalidInput, message))?;
        Ok(owners.into_iter().filter(|(_, core)| *core == self.core).map(|(name, _)| name).collect())
    }

    async fn open_device(&self, name: &str) -> std::io::Result<()> {
        let root = self.config.devices.join(name);
        if !is_usable(&root, self.config.mount_check).await {
            tracing::warn!(device = %name, path = %root.display(), "not there or not mounted; it answers 507 and is tried again");
            return Ok(());
        }
        let device = Device::open(name, root, &self.config).await?;
        self.devices.borrow_mut().insert(name.to_owned(), Rc::new(device));
        Ok(())
    }
}

impl Device {
    /// Opens the device in the directory `root`, which stays locked until it is dropped.
    pub async fn open(name: &str, root: PathBuf, config: &Config) -> std::io::Result<Device> {
        let lane = fs::Lane::open(&root)?;
        let lock = lock(&root).await?;
        probe(&root).await?;
        let rows = Kv::open(&root.join(ROWS_DIRECTORY), db::TABLES)
            .await
            .map_err(|error| explain(&error, format!("{}: cannot open {ROWS_DIRECTORY}: {error}", root.display())))?;
        let intake = Intake::open(rows.clone(), root.join(JOURNAL_FILE))
            .await
            .map_err(|error| explain(&error, format!("{}: cannot use {JOURNAL_FILE}: {error}", root.display())))?;
        let packed = if config.packed {
            let store = packed::Store::open(&root, config).await;
            Some(store.map_err(|error| explain(&error, format!("{}: the packed store: {error}", root.display())))?)
        } else {
            None
        };
        let busy = packed.as_ref().map(|store: &Rc<packed::Store>| store.busy.clone()).unwrap_or_default();
        Ok(Device {
            name: name.to_owned(),
            root,
            intake: Rc::new(intake),
            rows,
            packed,
            busy,
            invalidations: Invalidations::default(),
            poisoned: Cell::new(false),
            lane,
            silent: Cell::new(false),
            usable_until: Cell::new(io::Instant::from_nanos(0)),
            space: Cell::new(None),
            _lock: lock,
        })
    }
}

/// Locks the device in the directory `root`: one process may use it.
pub async fn lock(root: &Path) -> std::io::Result<fs::Lock> {
    fs::lock(&root.join(LOCK_FILE)).await.map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => {
            explain(&error, format!("{}: another process serves this device; stop it first", root.display()))
        }
        _ => explain(&error, format!("{}: cannot take {LOCK_FILE}: {error}", root.display())),
    })
}

/// Which core owns each device of this node: by the port the rings name for it.
pub fn ownership(config: &Config, rings: &Rings) -> Result<BTreeMap<String, usize>, String> {
    type PortOf = fn(&Ports) -> u16;
    let services: [(&str, &Ring, PortOf); 3] = [
        ("object", &rings.object, |ports| ports.object),
        ("container", &rings.container, |ports| ports.container),
        ("account", &rings.account, |ports| ports.account),
    ];
    let mut owners: BTreeMap<String, (usize, &str)> = BTreeMap::new();
    for (service, ring, port_of) in services {
        let ours = ring.devices().filter(|device| device.ip.parse() == Ok(config.ring_ip));
        for device in ours {
            // Another node may share the address (all of a development cluster does): its ports are not ours.
            let Some(core) = config.cores.iter().position(|ports| port_of(ports) == device.port) else { continue };
            match owners.get(&device.device) {
                Some((other, ring)) if *other != core => {
                    return Err(format!(
                        "device {} belongs to core {other} by {ring}.ring.gz and to core {core} by {service}.ring.gz \
                         (port {}); give it ports of one core in all rings",
                        device.device, device.port
                    ));
                }
                Some(_) => {}
                None => {
                    owners.insert(device.device.clone(), (core, service));
                }
            }
        }
    }
    Ok(owners.into_iter().map(|(name, (core, _))| (name, core)).collect())
}

const RING_FILES: [&str; 3] = ["object.ring.gz", "container.ring.gz", "account.ring.gz"];

async fn load(swift_dir: &Path) -> std::io::Result<Rings> {
    let [object, container, account] = RING_FILES;
    Ok(Rings {
        object: load_one(swift_dir, object).await?,
        container: load_one(swift_dir, container).await?,
        account: load_one(swift_dir, account).await?,
    })
}

async fn load_one(swift_dir: &Path, name: &str) -> std::io::Result<Rc<Ring>> {
    let path = swift_dir.join(name);
    let bytes = fs::read(&path, RING_BYTES_MAX)
        .await
        .map_err(|error| explain(&error, format!("{}: cannot be read: {error}", path.display())))?;
    let ring = Ring::from_bytes(&bytes)
        .map_err(|error| Error::new(ErrorKind::InvalidData, format!("{}: {}", path.display(), error.message)))?;
    Ok(Rc::new(ring))
}

/// Modification times of the ring files; `None` for one that is not there.
async fn modified(swift_dir: &Path) -> Vec<Option<i128>> {
    let mut times = Vec::with_capacity(RING_FILES.len());
    for name in RING_FILES {
        times.push(fs::metadata(&swift_dir.join(name)).await.ok().map(|found| found.modified_nanos));
    }
    times
}

/// Whether somebody has to set something right before this node can be started, rather than replace a disk.
fn is_mistake(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Unsupported | ErrorKind::PermissionDenied)
}

async fn is_usable(root: &Path, mount_check: bool) -> bool {
    if mount_check {
        return fs::is_mount(root).await.unwrap_or(false);
    }
    fs::metadata(root).await.is_ok_and(|found| found.is_dir)
}

/// Objects keep their metadata in extended attributes: a file system without them is refused before anything is stored.
async fn probe(root: &Path) -> std::io::Result<()> {
    let path = root.join("martlet.probe");
    let file = fs::TempFile::create(root).await?;
    let attributes = vec![("user.swift.metadata".to_owned(), b"probe".to_vec())];
    let result = file.publish(&path, attributes).await;
    let _ = fs::remove_file(&path).await;
    result.map_err(|error| match error.kind() {
        ErrorKind::Unsupported => explain(
            &error,
            format!(
                "{}: this file system has no extended attributes, which hold the metadata of objects; use XFS or ext4",
                root.display()
            ),
        ),
        _ => explain(&error, format!("{}: a file cannot be written: {error}", root.display())),
    })
}

fn explain(error: &Error, message: String) -> Error {
    Error::new(error.kind(), message)
}
