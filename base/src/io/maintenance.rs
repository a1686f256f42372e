//! Reading for background scans, so that they neither evict the foreground's page cache nor outbid it.
//!
//! A scan is driven from the serving core chunk by chunk: `Reader::read`, look, pause, go on; where it is can be kept and
//! resumed. Walks over directories list them here as well. The bytes come from the core's second executor (`executor`, the cargo feature `maintenance`). In the simulator, without
//! the feature, and where that executor cannot start they come through `fs` instead.

#[cfg(feature = "maintenance")]
mod executor;

#[cfg(feature = "maintenance")]
pub use executor::Maintenance;

use super::Computing;
use super::fs::{self, Entry, File};
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
    /// Nobody is served beside it.
    is_hasty: bool,
    executor: OnceCell<Option<Executor>>,
}

#[cfg(feature = "maintenance")]
type Executor = Maintenance;

/// There is none.
#[cfg(not(feature = "maintenance"))]
enum Executor {}

impl Reader {
    /// For the calling core, whose processor the executor shares; `name` is what tools show.
    pub fn new(name: &str) -> Reader {
        Reader { shared: Rc::new(Shared { name: name.to_owned(), is_hasty: false, executor: OnceCell::new() }) }
    }

    /// The same for a tool that has the device to itself: it keeps the disk at work and has the priority of its process. (One that serves finds
    /// a single chunk before it.)
    pub fn hasty(name: &str) -> Reader {
        Reader { shared: Rc::new(Shared { name: name.to_owned(), is_hasty: true, executor: OnceCell::new() }) }
    }

    /// Reads on the calling core, through the page cache.
    pub fn without_executor() -> Reader {
        Reader { shared: Rc::new(Shared { name: String::new(), is_hasty: false, executor: OnceCell::from(None) }) }
    }

    /// Reads `length` bytes (at most `READ_BYTES_MAX`, else `InvalidInput`) from `offset` of the file at `path`; fewer only at the
    /// end of the file.
    pub async fn read(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        check_length(length)?;
        if let Some(executor) = self.executor().await {
            match read_with(executor, path, offset, length, self.depth()).await {
                // It ended, or the file system knows no O_DIRECT.
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                other => return other,
            }
        }
        File::open(path).await?.read_at(offset, length).await.map(Vec::from)
    }

    /// Has a thread look at what was read, beside the core or, where others are served, behind it.
    pub fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Computing<T> {
        match self.shared.is_hasty {
            false => super::compute_behind(work),
            true => super::compute(work),
        }
    }

    /// Chunks that one read keeps the disk at.
    fn depth(&self) -> usize {
        if self.shared.is_hasty { 4 } else { 1 }
    }

    /// What is in the directory at `path`, sorted.
    pub async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        match self.executor().await {
            Some(executor) => list_with(executor, path).await,
            None => fs::read_dir(path).await,
        }
    }

    async fn executor(&self) -> Option<&Executor> {
        if self.shared.executor.get().is_none() {
            let started = start(&self.shared.name, !self.shared.is_hasty).await;
            // When two reads started one each, the first stays.
            let _ = self.shared.executor.set(started);
        }
        self.shared.executor.get()?.as_ref()
    }
}

#[cfg(feature = "maintenance")]
async fn start(name: &str, is_behind: bool) -> Option<Executor> {
    // It says itself why it cannot.
    Maintenance::start(name, is_behind).await.ok()
}

#[cfg(feature = "maintenance")]
async fn read_with(executor: &Executor, path: &Path, offset: u64, length: usize, depth: usize) -> io::Result<Vec<u8>> {
    executor.read(path, offset, length, depth).await
}

#[cfg(feature = "maintenance")]
async fn list_with(executor: &Executor, path: &Path) -> io::Result<Vec<Entry>> {
    executor.list(path).await
}

#[cfg(not(feature = "maintenance"))]
async fn start(_name: &str, _is_behind: bool) -> Option<Executor> {
    if !super::simulated() {
        tracing::warn!(
            "built without the maintenance executor: background scans are slower and go through the page cache"
        );
    }
    None
}

#[cfg(not(feature = "maintenance"))]
async fn read_with(
    executor: &Executor,
    _path: &Path,
    _offset: u64,
    _length: usize,
    _depth: usize,
) -> io::Result<Vec<u8>> {
    match *executor {}
}

#[cfg(not(feature = "maintenance"))]
async fn list_with(executor: &Executor, _path: &Path) -> io::Result<Vec<Entry>> {
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
    #[cfg(feature = "maintenance")]
    use rustix::fs::{Advice, fadvise};
    #[cfg(feature = "maintenance")]
    use std::fs::File;
    use std::io::ErrorKind;
    #[cfg(feature = "maintenance")]
    use std::os::fd::AsRawFd;
    use std::path::Path;

    async fn read_all(path: &Path, content: &[u8]) {
        let reader = Reader::new("test");
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
        assert_eq!(
            reader.list(path.parent().unwrap()).await.unwrap(),
            fs::read_dir(path.parent().unwrap()).await.unwrap()
        );
        assert_eq!(reader.list(Path::new("/none")).await.unwrap_err().kind(), ErrorKind::NotFound);
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

    /// How many pages of a file are in memory. (A read that does not wait would tell as well, and have them read ahead.)
    #[cfg(feature = "maintenance")]
    #[expect(unsafe_code, reason = "the kernel tells it of mappings only")]
    fn cached_pages(file: &File, length: usize) -> usize {
        let (access, flags) = (libc::PROT_READ, libc::MAP_SHARED);
        // SAFETY: a new mapping, which nobody reads.
        let map = unsafe { libc::mmap(std::ptr::null_mut(), length, access, flags, file.as_raw_fd(), 0) };
        assert_ne!(map, libc::MAP_FAILED);
        let mut pages = vec![0_u8; length.div_ceil(4096)];
        // SAFETY: a byte for each page, at least.
        assert_eq!(unsafe { libc::mincore(map, length, pages.as_mut_ptr()) }, 0);
        // SAFETY: mapped above.
        unsafe { libc::munmap(map, length) };
        pages.iter().filter(|page| **page & 1 == 1).count()
    }

    #[cfg(feature = "maintenance")]
    #[test]
    fn a_scan_leaves_the_page_cache_alone() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("volume");
        std::fs::write(&path, content()).unwrap();
        let file = File::open(&path).unwrap();
        file.sync_all().unwrap();
        let forget = || fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        let cached = || cached_pages(&file, content().len());
        run(CoreOptions::default(), async || {
            assert!(cached() > 0, "it was written a moment ago");
            forget();
            assert_eq!(cached(), 0);
            let reader = Reader::new("test");
            for offset in (0..content().len() as u64).step_by(1 << 18) {
                reader.read(&path, offset, 1 << 18).await.unwrap();
            }
            if reader.executor().await.is_none() {
                return;
            }
            assert_eq!(cached(), 0, "it was read past the cache");
            fs::File::open(&path).await.unwrap().read_at(0, 1 << 20).await.unwrap();
            assert!(cached() > 0, "as the foreground reads");
        })
        .unwrap();
    }

    /// What `/proc` says of the thread of this name.
    #[cfg(feature = "maintenance")]
    fn thread(name: &str) -> Option<(String, String)> {
        for task in std::fs::read_dir("/proc/self/task").unwrap().map(Result::unwrap) {
            let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
            if read("comm").trim() == name {
                let status = read("status");
                let processors = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
                // The nineteenth field; the second is the name, without spaces here.
                let nice = read("stat").split(' ').nth(18).unwrap().to_owned();
                return Some((processors.trim().to_owned(), nice));
            }
        }
        None
    }

    #[cfg(feature = "maintenance")]
    #[test]
    fn it_runs_on_the_processor_of_its_core_and_gives_way() {
        let processors = rustix::thread::sched_getaffinity(None).unwrap();
        let last = (0..rustix::thread::CpuSet::MAX_CPU).rfind(|&cpu| processors.is_set(cpu)).unwrap();
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("volume");
        std::fs::write(&path, content()).unwrap();
        // The calling thread stays pinned.
        for (name, cpu) in [("free", None), ("pinned", Some(last))] {
            run(CoreOptions { cpu, ..CoreOptions::default() }, async || {
                let reader = Reader::new(name);
                reader.read(&path, 0, 10).await.unwrap();
                if reader.executor().await.is_none() {
                    return;
                }
                let (allowed, nice) = thread(&format!("{name}-m")).unwrap();
                assert_eq!(allowed == last.to_string(), cpu.is_some() || processors.count() == 1, "{allowed}");
                assert_eq!(nice, "19");
            })
            .unwrap();
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
