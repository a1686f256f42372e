//! One device of four takes 5 seconds for an operation: those who ask for what does not lie on it must not notice.
//!
//! The device is a file system of its own on a block device that the kernel's block controller (cgroup v1, `blkio.throttle`) slows: 819 bytes a second
//! are 5 seconds for a block of 4 KiB. Beside the requests that are measured others go to the device all the time, well or sick, and may fail.

#![expect(clippy::disallowed_methods, reason = "a tool, outside of any core")]

use super::Bench;
use super::placement::Placement;
use super::rounds::on_a_core;
use crate::cluster::Cluster;
use bench::bars::{Bar, Row, median};
use bench::load::{Load, Names, Objects, Seen, Until, Verb};
use bench::target::Target;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

const BYTES: usize = 4096;
/// Objects on the device, and as many that are not.
const OBJECTS: usize = 256;
const SPAN: Duration = Duration::from_secs(6);
/// Between a sick device and the next measurement: what waits for it is done then.
const HEALED: Duration = Duration::from_secs(3);
/// Requests a second that touch the device.
const TOUCHES: f64 = 100.0;
const CONTROLLER: &str = "/sys/fs/cgroup/blkio";
/// A block of 4 KiB takes 5 seconds.
const SICK_BYTES_PER_SECOND: u32 = 819;

/// The device's file system and how it is slowed.
pub(super) struct SlowDisk {
    folder: PathBuf,
    number: String,
}

/// Objects on the device and objects that are not, in a container that is not.
struct Objectives {
    target: Target,
    touching: Rc<[String]>,
    others: Rc<[String]>,
}

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>, String> {
    let name = "one sick device of four: p99.9 of requests that do not touch it, with ÷ without";
    let Some(folder) = &bench.slow_disk else {
        eprintln!("  left out: --slow-disk names no file system that can be slowed");
        return Ok(Vec::new());
    };
    let disk = SlowDisk::new(folder)?;
    let mut cluster = bench.cluster("2")?;
    let objectives = Objectives::find(&mut cluster, &disk)?;
    let put =
        |names: &Rc<[String]>| Load { until: Until::Requests(OBJECTS as u64), ..objectives.load(Verb::Put, names) };
    for names in [&objectives.touching, &objectives.others] {
        on_a_core(async { put(names).run().await.without_failures() })?;
    }
    let get = objectives.load(Verb::Get, &objectives.others);
    let saturated = Load { until: Until::Elapsed(bench.span(SPAN / 3)), connections: 64, ..get };
    let rate = on_a_core(async { saturated.run().await.without_failures() })?.rate() / 4.0;
    let (mut ratios, mut well, mut sick, mut touching) = (Vec::new(), Vec::new(), Vec::new(), Seen::default());
    for _ in 0..bench.rounds.min(3) {
        let (quiet, _) = objectives.both(bench.span(SPAN), rate)?;
        disk.slow(SICK_BYTES_PER_SECOND)?;
        let outcome = objectives.both(bench.span(SPAN), rate);
        disk.slow(0)?;
        let (busy, beside) = outcome?;
        std::thread::sleep(bench.span(HEALED));
        touching.add(&beside);
        let [without, with] = [&quiet, &busy].map(|seen| seen.percentile_us(0.999));
        ratios.push(with / without);
        well.push(without);
        sick.push(with);
    }
    let detail = format!(
        "{:.0} µs ÷ {:.0} µs at {rate:.0}/s; of {} that touched the sick device {} failed, p99.9 {:.1} s",
        median(sick),
        median(well),
        touching.requests() + touching.failures,
        touching.failures,
        touching.percentile_us(0.999) / 1e6
    );
    Ok(vec![Row::barred(name, median(ratios), "", Bar::AtMost(1.1)).of(detail)])
}

impl Objectives {
    /// Puts a device that the account does not lie on onto the slow disk, and finds names.
    fn find(cluster: &mut Cluster, disk: &SlowDisk) -> Result<Objectives, String> {
        let placement = Placement::of(cluster)?;
        let account = cluster.target().account().to_owned();
        let devices = placement.devices();
        let device = devices.iter().find(|device| !placement.is_on(device, &account, None, None));
        let device = device.ok_or("the account lies on every device")?;
        cluster.restart(|dir| disk.become_device(&dir.join("node1").join(device)))?;
        let placement = Placement::of(cluster)?;
        let containers = (0..1000).map(|number| format!("martlet-bench-sick-{number}"));
        let container = containers.into_iter().find(|name| !placement.is_on(device, &account, Some(name), None));
        let container = container.ok_or("every container lies on the slow device")?;
        let target = cluster.target().in_container(&container);
        on_a_core(async { target.prepare().await })?;
        let names = |is_on: bool| -> Rc<[String]> {
            let all = (0..100_000).map(|number| format!("o-{number}"));
            all.filter(|name| placement.is_on(device, &account, Some(&container), Some(name)) == is_on)
                .take(OBJECTS)
                .collect()
        };
        Ok(Objectives { touching: names(true), others: names(false), target })
    }

    fn load(&self, verb: Verb, names: &Rc<[String]>) -> Load {
        let objects = Objects::new(0, names.len() as u64);
        Load { names: Names::Listed(names.clone()), ..Load::new(self.target.clone(), verb, BYTES, objects) }
    }

    /// Requests that do not touch the device, all of which must be answered as they should be, and beside them others that do.
    fn both(&self, span: Duration, rate: f64) -> Result<(Seen, Seen), String> {
        let until = Until::Elapsed(span);
        let measured = Load { connections: 64, until, rate: Some(rate), ..self.load(Verb::Get, &self.others) };
        let beside = Load { connections: 64, until, rate: Some(TOUCHES), ..self.load(Verb::Mixed, &self.touching) };
        on_a_core(async {
            let beside = base::io::spawn(beside.run());
            let seen = measured.run().await.without_failures()?;
            let beside = beside.await.ok_or("the requests that touch the device were not sent")?;
            Ok((seen, beside))
        })
    }
}

impl SlowDisk {
    fn new(folder: &Path) -> Result<SlowDisk, String> {
        let number = bench::disk::Disk::number_under(folder)?;
        let disk = SlowDisk { folder: folder.to_owned(), number };
        disk.slow(0)?;
        Ok(disk)
    }

    /// A device's folder is a link to the file system from now on.
    fn become_device(&self, device: &Path) -> Result<(), String> {
        let said = |error: std::io::Error| format!("{}: {error}", device.display());
        std::fs::remove_dir_all(device).map_err(said)?;
        std::os::unix::fs::symlink(&self.folder, device).map_err(said)
    }

    /// Bytes a second that it reads and writes at most; zero for as many as it can.
    fn slow(&self, bytes_per_second: u32) -> Result<(), String> {
        for file in ["blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device"] {
            let file = Path::new(CONTROLLER).join(file);
            let rule = format!("{} {bytes_per_second}", self.number);
            std::fs::write(&file, rule).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        Ok(())
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        // It could not be unmounted in a lifetime.
        let _ = self.slow(0);
    }
}
