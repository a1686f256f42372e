//! The realms of container sync: clusters that trust each other, in `container-sync-realms.conf`. The file is optional, and
//! looked at again every so often, because realms come and go without a restart.

mod realms;

pub use realms::Realms;

use crate::io::{self, fs};
use std::cell::{Cell, RefCell};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The file's name, in `swift_dir`.
const NAME: &str = "container-sync-realms.conf";
/// A realm needs a few hundred bytes.
const BYTES_MAX: usize = 1024 * 1024;

/// The file and what stood in it when it was last looked at. One per core.
pub struct RealmsFile {
    path: PathBuf,
    realms: RefCell<Rc<Realms>>,
    modified: Cell<Option<i128>>,
    good_until: Cell<Option<io::Instant>>,
}

impl RealmsFile {
    /// Not read yet.
    pub fn new(swift_dir: &Path) -> RealmsFile {
        let (modified, good_until) = (Cell::default(), Cell::default());
        RealmsFile { path: swift_dir.join(NAME), realms: RefCell::default(), modified, good_until }
    }

    /// The realms; the file is looked at if that was long ago. One that cannot be read leaves the realms as they were.
    pub async fn current(&self) -> Rc<Realms> {
        let now = io::monotonic();
        if self.good_until.get().is_none_or(|until| until <= now) {
            // First: who comes meanwhile shall not look as well.
            self.good_until.set(Some(now.after(self.realms.borrow().check_interval())));
            if let Err(error) = self.read().await
                && error.kind() != ErrorKind::NotFound
            {
                tracing::error!(path = %self.path.display(), %error, "the realms of container sync stay as they were");
            }
            self.good_until.set(Some(now.after(self.realms.borrow().check_interval())));
        }
        Rc::clone(&self.realms.borrow())
    }

    async fn read(&self) -> std::io::Result<()> {
        let modified = fs::metadata(&self.path).await?.modified_nanos;
        if self.modified.get() == Some(modified) {
            return Ok(());
        }
        // One that cannot be read is not read again until it changes.
        self.modified.set(Some(modified));
        let text = String::from_utf8(fs::read(&self.path, BYTES_MAX).await?);
        let text = text.map_err(|_| Error::new(ErrorKind::InvalidData, "it is no UTF-8"))?;
        let realms = Realms::parse(NAME, &text).map_err(|error| Error::new(ErrorKind::InvalidData, error.message))?;
        self.realms.replace(Rc::new(realms));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::sim::{Sim, SimOptions};
    use std::time::Duration;

    #[test]
    fn a_changed_file_is_noticed_and_a_broken_one_changes_nothing() {
        Sim::new(1, SimOptions::default()).run(async {
            let folder = Path::new("/etc/swift");
            fs::create_dir_all(folder).await.unwrap();
            let write = async |text: &str| {
                fs::write_atomic(&folder.join(NAME), text.into(), 0o600).await.unwrap();
                io::sleep(Duration::from_secs(11)).await;
            };
            let file = RealmsFile::new(folder);
            assert_eq!(file.current().await.names().count(), 0);
            io::sleep(Duration::from_secs(301)).await;
            write("[DEFAULT]\nmtime_check_interval = 10\n[us]\nkey = a\n").await;
            assert_eq!(file.current().await.key("US"), Some("a"));
            write("[DEFAULT]\nmtime_check_interval = 10\n[us]\nkey = b\n").await;
            assert_eq!(file.current().await.key("US"), Some("b"));
            write("[us\nkey = c\n").await;
            assert_eq!(file.current().await.key("US"), Some("b"));
        });
    }
}
