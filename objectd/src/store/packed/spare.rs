//! Volumes laid aside: the next one, ready to be written, and the reserve of a full disk.
//!
//! The next volume is made in the background and its zeros are written ahead, so that a roll-over costs a new name and syncs stay cheap
//! (`fs::Volume::prewrite`). The reserve is a volume's worth of space that only deletions, quarantine and compaction may use: they are
//! what frees a full disk. Neither has a header before it is used, and what is left of a next volume after a restart is made anew.

use base::io::{self, fs};
use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

const NEXT: &str = "next";
const RESERVE: &str = "reserve";
/// The reserve while it is made: under its own name it is whole.
const RESERVE_NEW: &str = "reserve.new";
/// Between two mebibytes of zeros: at most some 200 MiB/s, and never two writes of the foreground behind one another.
const PREWRITE_PAUSE: Duration = Duration::from_millis(5);

/// The volumes of one log that are not in use yet.
pub(super) struct Spare {
    directory: PathBuf,
    volume_bytes: u64,
    next: RefCell<Option<Rc<fs::Volume>>>,
    is_preparing: Cell<bool>,
}

impl Spare {
    /// None yet.
    pub(super) fn new(directory: PathBuf, volume_bytes: u64) -> Rc<Spare> {
        Rc::new(Spare { directory, volume_bytes, next: RefCell::default(), is_preparing: Cell::new(false) })
    }

    /// Makes the next volume in the background, unless there is one.
    pub(super) fn prepare(self: &Rc<Self>) {
        if self.next.borrow().is_none() && !self.is_preparing.replace(true) {
            let spare = self.clone();
            io::spawn(async move {
                // No space for it shows when it is needed.
                let result = spare.make_next().await;
                spare.is_preparing.set(false);
                if let Err(error) = result {
                    tracing::debug!(%error, "no next volume is ready");
                }
            });
        }
    }

    async fn make_next(&self) -> std::io::Result<()> {
        let path = self.directory.join(NEXT);
        match fs::remove_file(&path).await {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let volume = Rc::new(fs::Volume::create(&path, self.volume_bytes).await?);
        *self.next.borrow_mut() = Some(volume.clone());
        volume.prewrite(PREWRITE_PAUSE).await
    }

    /// A volume under the name `path`, durable: the next one if it is ready, else one made now.
    pub(super) async fn take(self: &Rc<Self>, path: &Path) -> std::io::Result<Rc<fs::Volume>> {
        let next = self.next.borrow_mut().take();
        match next {
            Some(volume) => {
                fs::rename(&self.directory.join(NEXT), path).await?;
                fs::sync_dir(&self.directory).await?;
                Ok(volume)
            }
            None => fs::Volume::create(path, self.volume_bytes).await.map(Rc::new),
        }
    }

    /// The reserve under the name `path`; `NotFound` when it was used.
    pub(super) async fn take_reserve(&self, path: &Path) -> std::io::Result<Rc<fs::Volume>> {
        fs::rename(&self.directory.join(RESERVE), path).await?;
        fs::sync_dir(&self.directory).await?;
        fs::Volume::open(path).await.map(Rc::new)
    }

    /// Lays the reserve aside, if there is none and the disk has the space.
    pub(super) async fn lay_reserve_aside(&self) -> std::io::Result<()> {
        if self.has_reserve().await {
            return Ok(());
        }
        let path = self.directory.join(RESERVE_NEW);
        match fs::remove_file(&path).await {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::Volume::create(&path, self.volume_bytes).await?;
        fs::rename(&path, &self.directory.join(RESERVE)).await?;
        fs::sync_dir(&self.directory).await
    }

    /// Whether it is there.
    pub(super) async fn has_reserve(&self) -> bool {
        fs::metadata(&self.directory.join(RESERVE)).await.is_ok()
    }
}
