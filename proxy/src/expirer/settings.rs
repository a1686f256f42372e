//! Core: the options of `[object-expirer]`, by Swift's names, one line each with its bounds and what holds without it.

use base::config::{Config as Ini, ConfigError, Section};
use base::quote::unquote;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The section.
pub const SECTION: &str = "object-expirer";
/// The pipeline of an expirer whose options stand in `object-server.conf`, where nothing else is said.
const INTERNAL_CLIENT: &str = "/etc/swift/internal-client.conf";
/// Ten years, as everywhere.
const AGE_MAX: u64 = 315_576_000;

/// What the expirer is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// From one pass to the next; where in it the next one begins is left to chance, so that expirers do not march in step.
    pub interval: Duration,
    /// How often a long pass says how far it is.
    pub report_interval: Duration,
    /// Times a question is asked that a server failed to answer.
    pub request_tries: u32,
    /// The account whose containers are the queue.
    pub account: String,
    /// Seconds of one row of queue containers, and how many containers stand in one: names that do not fit are told of.
    pub divisor: u64,
    /// See above.
    pub containers_per_divisor: u64,
    /// The part of the tasks that is ours.
    pub share: Share,
    /// Tasks under way at a time.
    pub concurrency: usize,
    /// Tasks begun in a second; zero is any number.
    pub tasks_per_second: f64,
    /// Tasks that are looked through for containers to take turns.
    pub round_robin_task_cache_size: usize,
    /// How long a task is tried again whose object is not there, or is not to expire then: a replica may not know it yet.
    pub reclaim_age: Duration,
    /// How much longer what has expired is kept.
    pub delays: Delays,
    /// Where the figures of the last pass are left for recon.
    pub recon_cache_path: PathBuf,
    /// Whether anything is done at all.
    pub dequeues: bool,
}

/// Process `process` of `processes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    process: u64,
    processes: u64,
}

/// `delay_reaping_<account>` and `delay_reaping_<account>/<container>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delays(BTreeMap<(String, Option<String>), Duration>);

/// What a file with the expirer's options holds for it.
pub struct File {
    /// The options.
    pub settings: Settings,
    /// The file with the pipeline through which it asks; `None` when it is this one.
    pub internal_client: Option<PathBuf>,
    /// Options nobody knows, in sentences.
    pub notices: Vec<String>,
}

impl Settings {
    /// From the section; `dequeues` holds where it says nothing of that.
    pub fn parse(section: &Section, dequeues: bool) -> Result<Settings, ConfigError> {
        let seconds = |name: &str, default: u64| section.integer(name, default, 0..=AGE_MAX).map(Duration::from_secs);
        let name = section.get("expiring_objects_account_name").filter(|name| !name.is_empty());
        let number = |name: &str, default: u64, most: u64| {
            section.integer(name, default, 1..=most).map(|number| usize::try_from(number).unwrap_or(usize::MAX))
        };
        // Pipelines of Swift's sample name their file there.
        section.get("internal_client_conf_path");
        Ok(Settings {
            interval: section.seconds("interval", 300.0)?,
            report_interval: section.seconds("report_interval", 300.0)?,
            request_tries: u32::try_from(section.integer("request_tries", 3, 1..=100)?).unwrap_or(3),
            account: format!(".{}", name.unwrap_or("expiring_objects")),
            divisor: section.integer("expiring_objects_container_divisor", 86_400, 1..=AGE_MAX)?,
            containers_per_divisor: section.integer("expiring_objects_task_container_per_day", 100, 1..=AGE_MAX)?,
            share: Share::new(section, None, None)?,
            concurrency: number("concurrency", 1, 1_000)?,
            tasks_per_second: section.float("tasks_per_second", 50.0, 0.0..=1e6)?,
            round_robin_task_cache_size: number("round_robin_task_cache_size", 100_000, 1_000_000)?,
            reclaim_age: seconds("reclaim_age", 604_800)?,
            delays: Delays::parse(section)?,
            recon_cache_path: section.get("recon_cache_path").unwrap_or(base::recon::CACHE_PATH).into(),
            dequeues: section.boolean("dequeue_from_legacy", dequeues),
        })
    }

    /// With another part of the tasks than the file says, as the command line has it.
    pub fn with_share(self, processes: Option<u64>, process: Option<u64>) -> Result<Settings, ConfigError> {
        let share = Share::of(processes.unwrap_or(self.share.processes), process.unwrap_or(self.share.process));
        let share = share.ok_or_else(|| ConfigError::new("--process must be less than --processes"))?;
        Ok(Settings { share, ..self })
    }
}

impl File {
    /// As Swift's expirer reads it: `object-expirer.conf` has a pipeline of its own, and always the queue; another file, such as
    /// `object-server.conf`, names the pipeline's, and says whether this node sees to the queue.
    pub fn parse(file: &str, text: &str) -> Result<File, ConfigError> {
        let ini = Ini::parse(file, text)?;
        let section = ini.section_or_defaults(SECTION);
        let is_own = file.contains("expirer");
        let mut settings = Settings::parse(section, false)?;
        settings.dequeues |= is_own;
        let named = section.get("internal_client_conf_path").map(PathBuf::from);
        let internal_client = named.or_else(|| (!is_own).then(|| PathBuf::from(INTERNAL_CLIENT)));
        // The options of a file with a pipeline are told of with those of the pipeline.
        let is_alone = internal_client.is_some() && ini.section(SECTION).is_some();
        let unknown = if is_alone { section.unknown() } else { Vec::new() };
        let notices = unknown
            .into_iter()
            .map(|(option, place)| format!("{place}: [{SECTION}] {option} is not known and has no effect"))
            .collect();
        Ok(File { settings, internal_client, notices })
    }
}

impl Share {
    /// All of the tasks.
    pub const ALL: Share = Share { process: 0, processes: 1 };

    fn new(section: &Section, processes: Option<u64>, process: Option<u64>) -> Result<Share, ConfigError> {
        let number = |name: &str| section.integer(name, 0, 0..=1_000_000);
        let (all, own) = (number("processes")?, number("process")?);
        Share::of(processes.unwrap_or(all), process.unwrap_or(own))
            .ok_or_else(|| section.error("process", "less than `processes`"))
    }

    /// Without a number of processes one does all.
    fn of(processes: u64, process: u64) -> Option<Share> {
        match processes {
            0 => Some(Share::ALL),
            _ if process < processes => Some(Share { process, processes }),
            _ => None,
        }
    }

    /// Whether a task with this MD5 is ours.
    pub(super) fn has(self, md5: [u8; 16]) -> bool {
        md5.iter().fold(0, |rest, byte| (rest * 256 + u64::from(*byte)) % self.processes) == self.process
    }
}

impl Delays {
    fn parse(section: &Section) -> Result<Delays, ConfigError> {
        let mut delays = BTreeMap::new();
        for option in section.options.keys() {
            let Some(name) = option.strip_prefix("delay_reaping_") else { continue };
            let wanted = "named delay_reaping_<account> or delay_reaping_<account>/<container>";
            let refuse = || section.error(option, wanted);
            let name = String::from_utf8(unquote(name.as_bytes())).map_err(|_| refuse())?;
            let (account, container) = match name.split_once('/') {
                None => (name.as_str(), None),
                Some((account, container)) => (account, Some(container)),
            };
            if account.is_empty() || container.is_some_and(|container| container.is_empty() || container.contains('/'))
            {
                return Err(refuse());
            }
            let place = (account.to_owned(), container.map(str::to_owned));
            delays.insert(place, section.seconds(option, 0.0)?);
        }
        Ok(Delays(delays))
    }

    /// The container's own, else its account's, else none.
    pub(super) fn of(&self, account: &str, container: &str) -> Duration {
        if self.0.is_empty() {
            return Duration::ZERO;
        }
        let own = self.0.get(&(account.to_owned(), Some(container.to_owned())));
        own.or_else(|| self.0.get(&(account.to_owned(), None))).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &str) -> Result<Settings, String> {
        let file = File::parse("object-expirer.conf", &format!("[object-expirer]\n{options}"));
        file.map(|file| file.settings).map_err(|error| error.message)
    }

    #[test]
    fn without_options_swifts_defaults_hold() {
        let settings = parse("").unwrap();
        assert_eq!(settings.interval, Duration::from_secs(300));
        assert_eq!((settings.concurrency, settings.tasks_per_second), (1, 50.0));
        assert_eq!((settings.reclaim_age, settings.share), (Duration::from_secs(604_800), Share::ALL));
        assert_eq!((settings.account.as_str(), settings.dequeues), (".expiring_objects", true));
        assert_eq!((settings.divisor, settings.containers_per_divisor), (86_400, 100));
    }

    #[test]
    fn a_delay_is_the_containers_own_or_its_accounts() {
        let settings = parse("delay_reaping_AUTH_a = 60\ndelay_reaping_AUTH_a/c%20d = 5.5\n").unwrap();
        let of = |account, container| settings.delays.of(account, container).as_secs_f64();
        assert_eq!((of("AUTH_a", "c d"), of("AUTH_a", "other"), of("AUTH_b", "c d")), (5.5, 60.0, 0.0));
        for wrong in ["AUTH_a/", "/AUTH_a", "AUTH_a/c/o", "", "/"] {
            let refused = parse(&format!("delay_reaping_{wrong} = 60\n")).unwrap_err();
            assert!(refused.contains("delay_reaping_<account>"), "{wrong}: {refused}");
        }
        assert!(parse("delay_reaping_AUTH_a = -1\n").is_err());
    }

    #[test]
    fn processes_share_every_task_and_no_task_twice() {
        let shares: Vec<Share> =
            (0..3).map(|process| parse(&format!("processes = 3\nprocess = {process}\n")).unwrap().share).collect();
        for number in 0..200_u32 {
            let md5 = base::checksum::md5(&number.to_be_bytes());
            assert_eq!(shares.iter().filter(|share| share.has(md5)).count(), 1);
        }
        // int('12…', 16) % 7, made by Python.
        let md5: [u8; 16] = std::array::from_fn(|place| 0x12_u8.wrapping_add(place as u8 * 17));
        let first = (0..7).find(|&process| Share { process, processes: 7 }.has(md5));
        let whole = md5.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
        assert_eq!(first, u64::try_from(whole % 7).ok());
        assert!(parse("processes = 3\nprocess = 3\n").is_err());
        assert_eq!(parse("process = 3\n").unwrap().share, Share::ALL, "one does all");
        let told = parse("").unwrap().with_share(Some(2), Some(1)).unwrap();
        assert_eq!(told.share, Share { process: 1, processes: 2 });
        assert!(parse("").unwrap().with_share(Some(2), Some(2)).is_err());
    }

    #[test]
    fn object_server_conf_names_the_pipelines_file_and_whether_the_queue_is_ours() {
        let at = |file: &str, options: &str| File::parse(file, &format!("[object-expirer]\n{options}")).unwrap();
        let server = at("/etc/swift/object-server.conf", "");
        assert_eq!((server.settings.dequeues, server.internal_client), (false, Some(INTERNAL_CLIENT.into())));
        let server =
            at("/etc/swift/object-server.conf", "dequeue_from_legacy = yes\ninternal_client_conf_path = /ic\n");
        assert_eq!((server.settings.dequeues, server.internal_client), (true, Some("/ic".into())));
        let own = at("/etc/swift/object-expirer.conf", "dequeue_from_legacy = no\n");
        assert_eq!((own.settings.dequeues, own.internal_client), (true, None));
        let wrong = at("/etc/swift/object-server.conf", "intervall = 5\n").notices;
        assert!(wrong.len() == 1 && wrong[0].contains("intervall is not known"), "{wrong:?}");
    }
}
