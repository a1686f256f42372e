//! The object-expirer: removes what has expired, and what a DELETE left to it.
//!
//! Object servers note every `X-Delete-At` as a row of a container of `.expiring_objects`, in the order of time. A pass lists these
//! containers up to now, deletes each object that a row names, as of the row's time and only if the object still expires then, and
//! takes the row away. A container without rows is deleted. One that stops in the middle has lost nothing: what it did not take away
//! the next pass finds again, and a DELETE that was done already is answered 409.
//!
//! It runs beside the cores of a proxy whose configuration has `[object-expirer]`, or as a daemon of its own (`martlet
//! object-expirer`). docs/decisions/0009-expirer-beside-the-proxy.md says why there.
//!
//! - `settings` has the options, `task` what rows mean, `rounds` their order, `pace` their speed: all that is decided.
//! - `queue` asks the nodes.

mod pace;
pub(crate) mod queue;
mod rounds;
mod settings;
mod task;

pub use settings::{File, SECTION, Settings};

use crate::core::Core;
use crate::middleware::work::Pile;
use base::io::{self, Instant};
use base::recon::figures;
use pace::Pace;
use queue::{Entry, Queue, now};
use rounds::Rounds;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;
use task::{Day, Row, Task, Verdict};

/// Shortest pause between two passes, whatever `interval` says: an empty queue must not keep a core busy.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// So long the figures of passes that find nothing new are good: as often as Swift's expirer writes them, unless told otherwise.
const NOTED_FOR: Duration = Duration::from_secs(300);
/// Names shown of containers that are named as no other.
const EXAMPLES: usize = 4;

/// What one pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// Rows that were done with: their objects are gone, or others.
    pub expired: u64,
    /// Rows whose objects are not there, or expire at another time; they are tried again until `reclaim_age`.
    pub waiting: u64,
    /// Rows about which the servers failed.
    pub failed: u64,
    /// Whether the queue was read to its end.
    pub is_whole: bool,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { expired, waiting, failed, .. } = self;
        let took = self.took.as_secs_f64();
        let how = if self.is_whole { "completed" } else { "ended early" };
        write!(f, "pass {how} in {took:.1} s: {expired} objects expired, {waiting} rows wait, {failed} failed")
    }
}

impl Report {
    /// For programs.
    pub fn json(&self) -> Value {
        json!({ "expired": self.expired, "waiting": self.waiting, "failed": self.failed, "complete": self.is_whole,
            "seconds": self.took.as_secs_f64() })
    }
}

/// The background loop: a pass in every `interval`, until the process ends.
pub async fn run(core: Rc<Core>, settings: Rc<Settings>) {
    if !settings.dequeues {
        tracing::info!(target: "expirer", "dequeue_from_legacy is off: another node sees to the queue");
        return;
    }
    io::sleep(settings.interval.mul_f64(io::chance())).await;
    let mut noted: Option<(Instant, u64)> = None;
    loop {
        let begun = io::monotonic();
        let report = pass(&core, &settings).await;
        // Passes that do what the last one did leave the file alone: files are written by threads, which cost the core that serves here.
        let is_news = noted.is_none_or(|(at, expired)| expired != report.expired || begun.since(at) >= NOTED_FOR);
        if is_news && report.is_whole {
            note(&settings, &report).await;
            noted = Some((begun, report.expired));
        }
        let left = settings.interval.saturating_sub(io::monotonic().since(begun));
        io::sleep(left.mul_f64(io::chance()).max(PAUSE_MIN)).await;
    }
}

/// One pass, and its figures in the recon file.
pub async fn once(core: &Rc<Core>, settings: &Rc<Settings>) -> Report {
    let report = pass(core, settings).await;
    if report.is_whole {
        note(settings, &report).await;
    }
    report
}

async fn note(settings: &Settings, report: &Report) {
    let values =
        [("object_expiration_pass", json!(report.took.as_secs_f64())), ("expired_last_pass", json!(report.expired))];
    figures::note(&settings.recon_cache_path, "object.recon", &values).await;
}

async fn pass(core: &Rc<Core>, settings: &Rc<Settings>) -> Report {
    let queue = Queue { core: Rc::clone(core), account: settings.account.clone(), tries: settings.request_tries };
    let begun = io::monotonic();
    let mut pass = Pass {
        work: Rc::new(Work {
            queue,
            settings: Rc::clone(settings),
            pace: RefCell::new(Pace::new(settings.tasks_per_second)),
            report: Cell::default(),
            begun,
            told: Cell::new(begun),
        }),
        rounds: Rounds::new(settings.round_robin_task_cache_size),
        odd_containers: Vec::new(),
    };
    let is_whole = pass.run().await;
    let report = Report { is_whole, took: io::monotonic().since(begun), ..pass.work.report.get() };
    tracing::info!(target: "expirer", "{report}");
    report
}

/// A pass under way.
struct Pass {
    work: Rc<Work>,
    /// Tasks found and not begun.
    rounds: Rounds,
    /// Of containers whose names we would not have made.
    odd_containers: Vec<String>,
}

impl Pass {
    /// Whether the queue was read to its end.
    async fn run(&mut self) -> bool {
        let mut marker = String::new();
        // Ends: names grow, and those of days to come are the end.
        let is_whole = loop {
            let page = match self.work.queue.containers(&marker).await {
                Ok(page) => page,
                Err(status) => {
                    tracing::error!(target: "expirer", status, "the containers of the queue cannot be listed");
                    break false;
                }
            };
            let Some(last) = page.last() else { break true };
            marker.clone_from(&last.name);
            if !self.containers(&page).await {
                break true;
            }
        };
        self.work_off().await;
        if !self.odd_containers.is_empty() {
            let examples = self.odd_containers.join(" ");
            tracing::info!(target: "expirer", %examples, "containers of the queue are named after another divisor");
        }
        is_whole
    }

    /// False when the rest are of days to come.
    async fn containers(&mut self, page: &[Entry]) -> bool {
        for Entry { name, .. } in page {
            match Day::of(name, &self.work.settings, now()) {
                Day::Later => return false,
                Day::Odd => {
                    tracing::error!(target: "expirer", container = %name, "no time is the name of a container of the queue");
                    continue;
                }
                Day::Come { expected } => {
                    if !expected && self.odd_containers.len() < EXAMPLES {
                        self.odd_containers.push(name.clone());
                    }
                }
            }
            self.container(&name.as_str().into()).await;
        }
        true
    }

    /// Finds the tasks of a container, and does those that there is no more room for.
    async fn container(&mut self, container: &Rc<str>) {
        let mut marker = String::new();
        // Ends: names grow, and those of times to come are the end.
        loop {
            let page = match self.work.queue.rows(container, &marker).await {
                Ok(page) => page,
                // Another process deleted it.
                Err(404) => return,
                Err(status) => {
                    return tracing::error!(target: "expirer", %container, status, "a container of the queue cannot be listed");
                }
            };
            let Some(last) = page.last() else { break };
            let behind = last.name.clone();
            for row in page {
                match Row::of(container, &row.name, row.content_type.as_deref(), &self.work.settings, now()) {
                    Row::Later => return,
                    Row::Others | Row::Delayed => continue,
                    Row::Odd => {
                        tracing::error!(target: "expirer", %container, row = %row.name, "no task is the name of a row");
                        continue;
                    }
                    Row::Due(task) => self.rounds.push(task),
                }
                if self.rounds.is_full() {
                    self.work_off().await;
                }
            }
            marker = behind;
        }
        if marker.is_empty() {
            self.work.queue.delete_container(container).await;
        }
    }

    /// Does all the tasks that were found, `concurrency` at a time.
    async fn work_off(&mut self) {
        let mut pile = Pile::new(self.work.settings.concurrency);
        // Ends: each turn begins a task, and nobody brings more.
        while let Some(task) = self.rounds.next() {
            if pile.is_full() {
                pile.next().await;
            }
            let wait = self.work.pace.borrow_mut().wait(io::monotonic());
            if !wait.is_zero() {
                io::sleep(wait).await;
            }
            let work = Rc::clone(&self.work);
            // A task of its own: it goes on while the next one waits for its time.
            let running = io::spawn(async move { work.task(&task).await });
            pile.push(Box::pin(running));
        }
        while pile.next().await.is_some() {}
    }
}

/// What the tasks of a pass share.
struct Work {
    queue: Queue,
    settings: Rc<Settings>,
    pace: RefCell<Pace>,
    report: Cell<Report>,
    begun: Instant,
    /// When it was last said how far the pass is.
    told: Cell<Instant>,
}

impl Work {
    /// Deletes an object and its row, and rests.
    async fn task(&self, task: &Task) {
        let begun = io::monotonic();
        let verdict = self.remove(task).await;
        let mut report = self.report.get();
        match verdict {
            Verdict::Pop => report.expired += 1,
            Verdict::Wait => report.waiting += 1,
            Verdict::Fail => report.failed += 1,
        }
        self.report.set(report);
        let done = io::monotonic();
        if done.since(self.told.get()) >= self.settings.report_interval {
            self.told.set(done);
            let so_far = Report { took: done.since(self.begun), ..report };
            tracing::info!(target: "expirer", expired = so_far.expired, seconds = so_far.took.as_secs(), "pass so far");
        }
        let rest = self.pace.borrow_mut().rest(done.since(begun), verdict == Verdict::Fail);
        io::sleep(rest).await;
    }

    async fn remove(&self, task: &Task) -> Verdict {
        let Some(target) = task.target() else { return Verdict::Fail };
        let status = self.queue.delete_object(task, &target).await;
        let verdict = Verdict::of(task, status, now(), self.settings.reclaim_age);
        let (container, row) = (&task.container, &task.row);
        match verdict {
            Verdict::Pop if self.queue.pop(task).await => {}
            Verdict::Pop => {
                tracing::warn!(target: "expirer", %container, %row, "no container server took the row away");
                return Verdict::Fail;
            }
            Verdict::Wait => {
                tracing::debug!(target: "expirer", %container, %row, status, "the object is not what expires")
            }
            Verdict::Fail => {
                tracing::warn!(target: "expirer", %container, %row, status, "the object cannot be deleted")
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests;
