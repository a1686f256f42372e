//! Reading for background scans, so that they neither evict the foreground's page cache nor outbid it.
//!
//! A scan is driven from the serving core chunk by chunk: `Reader::read`, look, pause, go on; where it is can be kept and
//! resumed. The bytes come from the core's second executor (`executor`, the cargo feature `maintenance`). In the simulator, without
//! the feature, and where that executor cannot start they come through `fs` instead.

#[cfg(feature = "maintenance")]
mod executor;

#[cfg(feature = "maintenance")]
pub use executor::Maintenance;

use super::fs::File;
use std::cell::OnceCell;
use std::io;
use std::path::Path;
use std::rc::Rc;

/// What one call may ask for: a pause between two calls must be able to slow a scan down.
pub const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Reads files for one core's scans. Clones share the executor, which starts with the first read and ends with the last clone.
#[derive(Clone)]
pub struct Reader {
    shared: Rc<Shared>,
}

struct Shared {
    name: String,
    cpu: Option<usize>,
    executor: OnceCell<Option<Executor>>,
}

#[cfg(feature = "maintenance")]
type Executor = Maintenance;

/// There is none.
#[cfg(not(feature = "maintenance"))]
enum Executor {}

impl Reader {
    /// For the core `name`; the executor's threads are pinned to the processor `cpu` if given.
    pub fn new(name: &str, cpu: Option<usize>) -> Reader {
        Reader { shared: Rc::new(Shared { name: name.to_owned(), cpu, executor: OnceCell::new() }) }
    }

    /// Reads `length` bytes (at most `READ_BYTES_MAX`, else `InvalidInput`) from `offset` of the file at `path`; fewer only at the
    /// end of the file.
    pub async fn read(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        check_length(length)?;
        if let Some(executor) = self.executor().await {
            match read_with(executor, path, offset, length).await {
                // It ended, or the file system knows no O_DIRECT.
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                other => return other,
            }
        }
        File::open(path).await?.read_at(offset, length).await.map(Vec::from)
    }

    async fn executor(&self) -> Option<&Executor> {
        if self.shared.executor.get().is_none() {
            let started = start(&self.shared.name, self.shared.cpu).await;
            // When two reads started one each, the first stays.
            let _ = self.shared.executor.set(started);
        }
        self.shared.executor.get()?.as_ref()
    }
}

#[cfg(feature = "maintenance")]
async fn start(name: &str, cpu: Option<usize>) -> Option<Executor> {
    // It says itself why it cannot.
    Maintenance::start(name, cpu).await.ok()
}

#[cfg(feature = "maintenance")]
async fn read_with(executor: &Executor, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    executor.read(path, offset, length).await
}

#[cfg(not(feature = "maintenance"))]
async fn start(_name: &str, _cpu: Option<usize>) -> Option<Executor> {
    if !super::simulated() {
        tracing::warn!(
            "built without the maintenance executor: background scans are slower and go through the page cache"
        );
    }
    None
}

#[cfg(not(feature = "maintenance"))]
async fn read_with(executor: &Executor, _path: &Path, _offset: u64, _length: usize) -> io::Result<Vec<u8>> {
    match *executor {}
}

fn check_length(length: usize) -> io::Result<()> {
    match length <= READ_BYTES_MAX {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "a scan reads at most 4 MiB at a time")),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests write what is scanned from outside the door")]

    use super::{READ_BYTES_MAX, Reader};
    use crate::io::real::{CoreOptions, run};
    use crate::io::sim::{Sim, SimOptions};
    use crate::io::{fs, spawn};
    use std::io::ErrorKind;
    use std::path::Path;

    async fn read_all(path: &Path, content: &[u8]) {
        let reader = Reader::new("test", None);
        let both: Vec<_> = (0..2)
            .map(|_| {
                let (reader, path) = (reader.clone(), path.to_owned());
                spawn(async move { reader.read(&path, 0, 10).await.unwrap() })
            })
            .collect();
        for read in both {
            assert_eq!(read.await.unwrap(), content[..10]);
        }
        let mut found = Vec::new();
        loop {
            let chunk = reader.read(path, found.len() as u64, 100_001).await.unwrap();
            found.extend_from_slice(&chunk);
            if chunk.len() < 100_001 {
                break;
            }
        }
        assert_eq!(found, content);
        assert_eq!(reader.read(path, 0, READ_BYTES_MAX + 1).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(reader.read(Path::new("/none"), 0, 9).await.unwrap_err().kind(), ErrorKind::NotFound);
    }

    fn content() -> Vec<u8> {
        (0..1_234_567_u32).map(|n| (n % 251) as u8).collect()
    }

    #[test]
    fn a_file_is_read_in_chunks_on_disk_and_in_memory() {
        for dir in [env!("CARGO_MANIFEST_DIR"), "/dev/shm"] {
            let Ok(dir) = tempfile::tempdir_in(dir) else { continue };
            let path = dir.path().join("volume");
            std::fs::write(&path, content()).unwrap();
            run(CoreOptions::default(), async || read_all(&path, &content()).await).unwrap();
        }
    }

    #[test]
    fn in_the_simulator_it_reads_through_the_file_system() {
        Sim::new(1, SimOptions::default()).run(async {
            fs::write_atomic(Path::new("/volume"), content(), 0o600).await.unwrap();
            read_all(Path::new("/volume"), &content()).await;
        });
    }
}
