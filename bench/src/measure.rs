//! Driver: one workload against one target: what it needs is there first, then it is timed, then it runs once more, shorter, for the system calls.

use crate::cost::Cost;
use crate::load::{Keys, Load, Names, Objects, Seen, Until, Verb};
use crate::processes::Server;
use crate::system_calls::{Counting, Means};
use crate::target::Target;
use crate::workload::Workload;

/// Connections that upload and remove what a workload needs.
const CONNECTIONS: u16 = 16;
/// The run for the system calls sends this share of the requests.
const COUNTED_SHARE: u64 = 4;

/// How a workload is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who is measured.
    pub target: Target,
    /// Its processes; none when they are not known.
    pub servers: Vec<Server>,
    /// How their system calls are counted; `None` to leave that out.
    pub means: Option<Means>,
    /// Connections.
    pub connections: u16,
    /// Requests; `None` for as many as suit the size of the objects.
    pub requests: Option<u64>,
    /// Objects; `None` for as many as suit their size.
    pub objects: Option<u64>,
    /// How often each.
    pub keys: Keys,
    /// Requests per second; `None` for as many as go.
    pub rate: Option<f64>,
    /// Whether a line on the terminal says how it is getting on.
    pub is_shown: bool,
}

/// What one workload measured.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Name of the workload.
    pub workload: String,
    /// Bytes of an object; zero of a listing.
    pub bytes: u64,
    /// Connections used.
    pub connections: u16,
    /// Latencies, failures, time.
    pub seen: Seen,
    /// What it cost each server.
    pub costs: Vec<Cost>,
}

impl Plan {
    /// Makes, measures, removes.
    pub async fn run(&self, workload: &Workload) -> Result<Outcome, String> {
        self.prepare(workload).await?;
        let outcome = self.measure(workload).await;
        self.clear(workload).await;
        outcome
    }

    /// Makes what the workload asks for: the objects, or the rows of the listing. What is there already stays.
    pub async fn prepare(&self, workload: &Workload) -> Result<(), String> {
        if !self.target.can(workload) {
            return Err(format!(
                "{}: a storage node has no listings, a server of files takes GET and HEAD only",
                workload.name
            ));
        }
        match &workload.verb {
            Verb::List(page) => {
                let container = self.target.in_container(&page.container);
                container.prepare().await?;
                if container.object_count().await? >= page.limit {
                    return Ok(());
                }
                self.upload(&container, 0, "o", Objects::new(0, page.limit)).await
            }
            Verb::Put | Verb::Delete => self.target.prepare().await,
            _ => {
                self.target.prepare().await?;
                self.upload(&self.target, workload.bytes, &workload.name, self.objects(workload)).await
            }
        }
    }

    /// Measures it; what it asks for must be there.
    pub async fn measure(&self, workload: &Workload) -> Result<Outcome, String> {
        let requests = self.requests(workload);
        let load = self.ready(workload, requests).await?;
        let before: Vec<_> = self.servers.iter().map(Server::used).collect();
        let seen = load.run().await;
        let used = self.servers.iter().zip(before).map(|(server, before)| server.used().since(before));
        let used: Vec<_> = used.collect();
        let mut costs: Vec<Cost> =
            self.servers.iter().zip(used).map(|(server, used)| Cost::of(server, used, seen.requests())).collect();
        if let (Some(means), false) = (self.means, self.servers.is_empty()) {
            let load = self.ready(workload, (requests / COUNTED_SHARE).max(1)).await?;
            let counting = Counting::start(means, &self.servers)?;
            let counted = load.run().await;
            for (cost, calls) in costs.iter_mut().zip(counting.stop()?) {
                cost.count(calls, counted.requests());
            }
        }
        let Workload { name, bytes, .. } = workload.clone();
        Ok(Outcome { workload: name, bytes, connections: self.connections, seen, costs })
    }

    /// Removes what `prepare` and the workload itself made; the files of a server of files stay.
    pub async fn clear(&self, workload: &Workload) {
        // Others may have objects there, and one that is not there need not be removed.
        match &workload.verb {
            Verb::List(page) => {
                let container = self.target.in_container(&page.container);
                self.remove(&container, "o", Objects::new(0, page.limit)).await;
                let _ = container.leave().await;
            }
            Verb::Delete => {
                let _ = self.target.leave().await;
            }
            _ if self.target.directory().is_some() => {}
            _ => {
                self.remove(&self.target, &workload.name, self.objects(workload)).await;
                let _ = self.target.leave().await;
            }
        }
    }

    fn requests(&self, workload: &Workload) -> u64 {
        self.requests.unwrap_or_else(|| workload.requests())
    }

    fn objects(&self, workload: &Workload) -> Objects {
        Objects::new(0, self.objects.unwrap_or_else(|| workload.objects()))
    }

    /// The load, with its objects in place when each can be used only once.
    async fn ready(&self, workload: &Workload, requests: u64) -> Result<Load, String> {
        let is_delete = workload.verb == Verb::Delete;
        let objects = if is_delete { Objects::new(0, requests) } else { self.objects(workload) };
        if is_delete {
            self.upload(&self.target, workload.bytes, &workload.name, objects).await?;
        }
        let load = self.load(&self.target, workload.verb.clone(), workload.bytes, objects)?;
        Ok(Load {
            names: Names::Numbered(workload.name.clone()),
            keys: if is_delete { Keys::Uniform } else { self.keys },
            connections: self.connections,
            until: Until::Requests(requests),
            rate: self.rate,
            label: self.is_shown.then(|| workload.name.clone()),
            ..load
        })
    }

    fn load(&self, target: &Target, verb: Verb, bytes: u64, objects: Objects) -> Result<Load, String> {
        let bytes = usize::try_from(bytes).map_err(|error| error.to_string())?;
        Ok(Load { connections: CONNECTIONS, ..Load::new(target.clone(), verb, bytes, objects) })
    }

    async fn upload(&self, target: &Target, bytes: u64, prefix: &str, objects: Objects) -> Result<(), String> {
        if let Some(directory) = target.directory() {
            return write_files(directory, bytes, prefix, objects.count);
        }
        let load = Load { names: Names::Numbered(prefix.to_owned()), ..self.load(target, Verb::Put, bytes, objects)? };
        load.run().await.without_failures().map(drop).map_err(|error| format!("uploading {prefix}: {error}"))
    }

    async fn remove(&self, target: &Target, prefix: &str, objects: Objects) {
        if let Ok(load) = self.load(target, Verb::Delete, 0, objects) {
            Load { names: Names::Numbered(prefix.to_owned()), ..load }.run().await;
        }
    }
}

/// The objects as files, for a server of files.
#[expect(clippy::disallowed_methods, reason = "written before a load, when nothing is in flight")]
fn write_files(directory: &std::path::Path, bytes: u64, prefix: &str, count: u64) -> Result<(), String> {
    let body = vec![b'm'; usize::try_from(bytes).map_err(|error| error.to_string())?];
    std::fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    for number in 0..count {
        let file = directory.join(format!("{prefix}-{number}"));
        if file.metadata().is_ok_and(|metadata| metadata.len() == bytes) {
            continue;
        }
        std::fs::write(&file, &body).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}
