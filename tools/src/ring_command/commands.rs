//! The commands that change a builder or write its ring, each from its words to its exit status.

use super::device_spec::DeviceSpec;
use super::options::Options;
use super::{ERROR, SUCCESS, Session, Stop, WARNING, report};
use ring::FormatVersion;
use ring::builder::Builder;

impl Session<'_> {
    pub(super) fn create(&mut self, options: &Options) -> Result<i32, Stop> {
        let [power, replicas, hours] = options.words.as_slice() else {
            return Err(Stop::error("create needs <part_power> <replicas> <min_part_hours>"));
        };
        let mut builder = Builder::new(whole(power)?, number(replicas)?, whole(hours)?)?;
        self.save(&mut builder)?;
        self.back_up(&self.builder_file.clone(), &builder.to_bytes())?;
        Ok(SUCCESS)
    }

    pub(super) fn add(&mut self, builder: &mut Builder, options: &Options) -> Result<i32, Stop> {
        refuse_during_increase(builder, "adding")?;
        let mut specs = Vec::new();
        if options.has_device() {
            let weight = options.device.weight.ok_or("Required argument -w/--weight not specified.".to_owned())?;
            specs.push((options.device.clone(), weight, String::new()));
        }
        let (pairs, rest) = options.words.as_chunks::<2>();
        if !rest.is_empty() || options.has_device() != pairs.is_empty() {
            return Err(Stop::error("add needs pairs of a device and its weight, or options that describe one device"));
        }
        for [text, weight] in pairs {
            specs.push((DeviceSpec::parse_add(text)?, number(weight)?, text.clone()));
        }
        let mut lines = Vec::new();
        for (spec, weight, text) in specs {
            if !weight.is_finite() || weight < 0.0 {
                return Err(Stop::error(format!("Invalid weight value: {text}")));
            }
            if spec.region.is_none() {
                self.warn(&format!("WARNING: No region specified for {text}. Defaulting to region 1.\n"));
            }
            let device = spec.to_device(weight)?;
            let same = |other: &ring::Device| {
                (&other.ip, other.port, &other.device) == (&device.ip, device.port, &device.device)
            };
            if let Some(other) = builder.iter().map(|entry| &entry.device).find(|other| same(other)) {
                let (id, ip, port, name) = (other.id, &other.ip, other.port, &other.device);
                let message =
                    format!("Device {id} already uses {ip}:{port}/{name}.\nThe on-disk ring builder is unchanged.\n");
                return Err(Stop::error(message));
            }
            let id = builder.add_device(device)?;
            let name = builder.device(id).map(|entry| report::device_name(&entry.device)).unwrap_or_default();
            lines.push(format!("Device {name} with {} weight got id {id}", python_float(weight)));
        }
        self.save_and_say(builder, &lines)
    }

    pub(super) fn remove(&mut self, builder: &mut Builder, options: &Options) -> Result<i32, Stop> {
        refuse_during_increase(builder, "removing")?;
        let found = matching(builder, options)?;
        self.confirm(builder, &found, options, "Are you sure you want to remove these", "Aborting device removals")?;
        let mut lines = Vec::new();
        for id in found {
            // The weight goes with the removal, the name shown is without it.
            builder.remove_device(id)?;
            let name = builder.device(id).map(|entry| report::device_name(&entry.device)).unwrap_or_default();
            lines.push(format!("{name} marked for removal and will be removed next rebalance."));
        }
        self.save_and_say(builder, &lines)
    }

    pub(super) fn set_weight(&mut self, builder: &mut Builder, options: &Options) -> Result<i32, Stop> {
        let question = "Are you sure you want to update the weight for these";
        let mut lines = Vec::new();
        for (search, value) in searches_with_values(options)? {
            let weight: f64 = number(&value)?;
            let found = find(builder, &search);
            self.confirm(builder, &found, options, question, "Aborting device modifications")?;
            for id in found {
                builder.set_weight(id, weight)?;
                let name = builder.device(id).map(|entry| report::device_name(&entry.device)).unwrap_or_default();
                lines.push(format!("{name} weight set to {}", python_float(weight)));
            }
        }
        self.save_and_say(builder, &lines)
    }

    pub(super) fn set_domain(&mut self, builder: &mut Builder, options: &Options, domain: &str) -> Result<i32, Stop> {
        let question = format!("Are you sure you want to update the {domain} for these");
        let mut lines = Vec::new();
        for (search, value) in searches_with_values(options)? {
            let value: u32 = whole(&value)?;
            let found = find(builder, &search);
            self.confirm(builder, &found, options, &question, "Aborting device modifications")?;
            for id in found {
                if let Some(entry) = builder.device_mut(id) {
                    match domain {
                        "region" => entry.device.region = value,
                        _ => entry.device.zone = value,
                    }
                    lines.push(format!("{} {domain} set to {value}", report::device_name(&entry.device)));
                }
                builder.changed();
            }
        }
        self.save_and_say(builder, &lines)
    }

    pub(super) fn set_info(&mut self, builder: &mut Builder, options: &Options) -> Result<i32, Stop> {
        let question = "Are you sure you want to update the info for these";
        let mut changes = Vec::new();
        if options.has_device() {
            changes.push((options.device.clone(), options.change.clone()));
        }
        let (pairs, rest) = options.words.as_chunks::<2>();
        if !rest.is_empty() || (pairs.is_empty() && changes.is_empty()) {
            return Err(Stop::error("set_info needs pairs of a search value and the new values"));
        }
        for [search, change] in pairs {
            changes.push((DeviceSpec::parse_search(search)?, DeviceSpec::parse_search(change)?));
        }
        let mut lines = Vec::new();
        for (search, change) in changes {
            let found = find(builder, &search);
            self.confirm(builder, &found, options, question, "Aborting device modifications")?;
            for id in found {
                let Some(mut device) = builder.device(id).map(|entry| entry.device.clone()) else { continue };
                let before = report::device_name(&device);
                change.change(&mut device);
                let same = |other: &ring::Device| {
                    other.id != id
                        && (&other.ip, other.port, &other.device) == (&device.ip, device.port, &device.device)
                };
                if let Some(other) = builder.iter().map(|entry| &entry.device).find(|other| same(other)) {
                    let (id, ip, port, name) = (other.id, &other.ip, other.port, &other.device);
                    return Err(Stop::error(format!("Device {id} already uses {ip}:{port}/{name}.")));
                }
                lines.push(format!("Device {before} is now {}", report::device_name(&device)));
                if let Some(entry) = builder.device_mut(id) {
                    entry.device = device;
                }
                // Shows in the next ring; no partition has to move for it.
                builder.devices_changed = true;
            }
        }
        self.save_and_say(builder, &lines)
    }

    pub(super) fn set_replicas(&mut self, builder: &mut Builder, options: &Options) -> Result<i32, Stop> {
        let text = one_word(options, "set_replicas needs <replicas>")?;
        let replicas = text.parse().map_err(|_| format!("\"{text}\" is not a valid number."))?;
        builder.set_replicas(replicas)?;
        let lines = [
            format!("The replica count is now {replicas:.6}."),
            "The change will take effect after the next rebalance.".to_owned(),
        ];
        self.save_and_say(builder, &lines)
    }

    pub(super) fn set_overload(&mut self, builder: &mut Builder, options: &Options) -> Result<i32, Stop> {
        let text = one_word(options, "set_overload needs <overload>[%]")?;
        let percent = text.strip_suffix('%');
        let number = percent.unwrap_or(text);
        let overload: f64 = number.parse().map_err(|_| format!("'{number}' is not a valid number."))?;
        let overload = if percent.is_some() { overload * 0.01 } else { overload };
        if !overload.is_finite() || overload < 0.0 {
            return Err(Stop::error("Overload must be non-negative."));
        }
        let mut lines = vec![
            format!("The overload factor is now {:.2}% ({overload:.6})", overload * 100.0),
            "The change will take effect after the next rebalance.".to_owned(),
        ];
        let suspicious = overload > 1.0 && percent.is_none();
        if suspicious {
            lines.insert(0, "!?! Warning overload is greater than 100% !?!".to_owned());
        }
        builder.overload = overload;
        self.save_and_say(builder, &lines)?;
        Ok(if suspicious { WARNING } else { SUCCESS })
    }

    pub(super) fn set_min_part_hours(&mut self, builder: &mut Builder, options: &Options) -> Result<i32, Stop> {
        builder.min_part_hours = whole(one_word(options, "set_min_part_hours needs <hours>")?)?;
        let hours = builder.min_part_hours;
        let line = format!("The minimum number of hours before a partition can be reassigned is now set to {hours}");
        self.save_and_say(builder, &[line])
    }

    pub(super) fn pretend(&mut self, builder: &mut Builder) -> Result<i32, Stop> {
        builder.pretend_min_part_hours_passed();
        self.save_and_say(builder, &[])
    }

    pub(super) fn rebalance(&mut self, builder: &mut Builder, options: &Options) -> Result<i32, Stop> {
        let format = self.format_version(options)?;
        if builder.next_part_power.is_some() {
            let message =
                "Partition power increase in progress.\nYou need to finish the increase first before rebalancing.";
            return Err(Stop::error(message));
        }
        let (devices_changed, last_balance, last_dispersion) =
            (builder.devices_changed, builder.balance(), builder.dispersion);
        let waiting = builder.min_part_seconds_left(self.now) > 0;
        let seed = options.seed.clone().or_else(|| options.words.first().cloned());
        // Without a seed, the state itself is one: every run of a builder draws others.
        let seed = seed.unwrap_or_else(|| format!("{}-{}", builder.id.as_deref().unwrap_or_default(), builder.version));
        let done = builder.rebalance(seed.as_bytes(), self.now).map_err(|error| invalid(&error.message))?;
        if done.changed == 0 && !options.force && done.removed == 0 {
            return Err(Stop { status: WARNING, message: self.nothing_moved(builder, waiting) });
        }
        let weightless = |balance: f64| balance >= 999.99;
        let improved = (last_balance - done.balance).abs() >= 1.0
            || (weightless(last_balance) && weightless(done.balance))
            || (last_dispersion - builder.dispersion).abs() >= 1.0;
        if !options.force && !devices_changed && !improved {
            let message = "Cowardly refusing to save rebalance as it did not change at least 1%.".to_owned();
            return Err(Stop { status: WARNING, message });
        }
        builder.validate().map_err(|error| invalid(&error.message))?;
        let percent = 100.0 * done.changed as f64 / builder.parts() as f64;
        let (changed, balance, dispersion) = (done.changed, done.balance, builder.dispersion);
        self.say(&format!(
            "Reassigned {changed} ({percent:.2}%) partitions. Balance is now {balance:.2}.  Dispersion is now {dispersion:.2}"
        ));
        let advice = advice(builder, balance);
        if let Some(advice) = &advice {
            self.say(&format!("{LINE}\n{advice}\n{LINE}"));
        }
        self.save_with_ring(builder, format)?;
        Ok(if advice.is_some() { WARNING } else { SUCCESS })
    }

    pub(super) fn write_ring(&mut self, builder: &Builder, options: &Options) -> Result<i32, Stop> {
        let format = self.format_version(options)?;
        if !builder.ever_rebalanced() {
            self.say(match builder.iter().next() {
                Some(_) => {
                    "Warning: Writing a ring with no partition assignments but with devices; did you forget to run \
                     \"rebalance\"?"
                }
                None => "Warning: Writing an empty ring",
            });
        }
        let bytes = self.ring_bytes(builder, format)?;
        self.back_up(&self.ring_file.clone(), &bytes)?;
        super::files::replace(&self.ring_file, &bytes).map_err(|error| self.cannot_write(&error))?;
        Ok(SUCCESS)
    }

    /// Backups first; the builder last: a crash in between leaves a builder that can write the ring again.
    fn save_with_ring(&mut self, builder: &mut Builder, format: FormatVersion) -> Result<(), Stop> {
        let bytes = self.ring_bytes(builder, format)?;
        self.back_up(&self.ring_file.clone(), &bytes)?;
        self.back_up(&self.builder_file.clone(), &builder.to_bytes())?;
        super::files::replace(&self.ring_file, &bytes).map_err(|error| self.cannot_write(&error))?;
        self.save(builder)
    }

    fn ring_bytes(&self, builder: &Builder, format: FormatVersion) -> Result<Vec<u8>, Stop> {
        let name = self.ring_file.display().to_string();
        let written = builder.ring().map_err(|error| error.message)?.to_bytes(&name, format);
        written.map_err(|error| Stop::error(error.message))
    }

    fn save_and_say(&mut self, builder: &mut Builder, lines: &[String]) -> Result<i32, Stop> {
        self.save(builder)?;
        lines.iter().for_each(|line| self.say(line));
        Ok(SUCCESS)
    }

    fn format_version(&mut self, options: &Options) -> Result<FormatVersion, Stop> {
        match options.format_version.as_deref() {
            Some("1") => Ok(FormatVersion::V1),
            Some("2") => Ok(FormatVersion::V2),
            Some(other) => {
                Err(Stop::error(format!("option --format-version: invalid choice: '{other}' (choose from '1', '2')")))
            }
            None => {
                self.say(
                    "Defaulting to --format-version=1. This ensures the ring\nwritten will be readable by older \
                     versions of Swift.\nIn a future release, the default will change to\n--format-version=2\n",
                );
                Ok(FormatVersion::V1)
            }
        }
    }

    fn nothing_moved(&self, builder: &Builder, waiting: bool) -> String {
        let reason = match waiting {
            true => format!(
                "The time between rebalances must be at least min_part_hours: {} hours ({} remaining)",
                builder.min_part_hours,
                report::duration(builder.min_part_seconds_left(self.now))
            ),
            false => "There is no need to do so at this time".to_owned(),
        };
        format!("No partitions could be reassigned.\n{reason}")
    }

    /// Several devices are changed only after a yes, given as an option or typed.
    fn confirm(
        &mut self,
        builder: &Builder,
        found: &[u32],
        options: &Options,
        question: &str,
        no: &str,
    ) -> Result<(), Stop> {
        if found.is_empty() {
            let message = "Search value matched 0 devices.\nThe on-disk ring builder is unchanged.";
            return Err(Stop::error(message));
        }
        if found.len() == 1 {
            return Ok(());
        }
        self.say("Matched more than one device:");
        for entry in found.iter().filter_map(|id| builder.device(*id)) {
            self.say(&format!("    {}", report::device_name(&entry.device)));
        }
        if options.yes {
            return Ok(());
        }
        self.say(&format!("{question} {} devices? (y/N) ", found.len()));
        let mut answer = String::new();
        let read = self.input.read_line(&mut answer).is_ok();
        if read && answer.trim() == "y" { Ok(()) } else { Err(Stop { status: ERROR, message: no.to_owned() }) }
    }
}

/// Devices that the words or the options name; none twice.
pub(super) fn matching(builder: &Builder, options: &Options) -> Result<Vec<u32>, Stop> {
    if options.has_device() {
        return Ok(find(builder, &options.device));
    }
    if options.words.is_empty() {
        return Err(Stop::error("a <search-value> is missing"));
    }
    let mut found = Vec::new();
    for word in &options.words {
        let more = find(builder, &DeviceSpec::parse_search(word)?);
        found.extend(more.into_iter().filter(|id| !found.contains(id)).collect::<Vec<_>>());
    }
    Ok(found)
}

fn find(builder: &Builder, spec: &DeviceSpec) -> Vec<u32> {
    builder.iter().filter(|entry| spec.matches(&entry.device)).map(|entry| entry.device.id).collect()
}

/// `<search-value> <value>` pairs, or options and one value.
fn searches_with_values(options: &Options) -> Result<Vec<(DeviceSpec, String)>, Stop> {
    if options.has_device() {
        let value = one_word(options, "one new value is needed behind the options")?;
        return Ok(vec![(options.device.clone(), value.to_owned())]);
    }
    let (pairs, rest) = options.words.as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() {
        return Err(Stop::error("pairs of a <search-value> and the new value are needed"));
    }
    let pairs = pairs.iter().map(|[search, value]| Ok((DeviceSpec::parse_search(search)?, value.clone())));
    pairs.collect()
}

fn one_word<'a>(options: &'a Options, usage: &str) -> Result<&'a str, Stop> {
    match options.words.as_slice() {
        [word] => Ok(word),
        _ => Err(Stop::error(usage)),
    }
}

fn whole<T: std::str::FromStr>(text: &str) -> Result<T, Stop> {
    text.parse().map_err(|_| Stop::error(format!("invalid literal for int() with base 10: '{text}'")))
}

fn number(text: &str) -> Result<f64, Stop> {
    text.parse().map_err(|_| Stop::error(format!("could not convert string to float: '{text}'")))
}

fn python_float(number: f64) -> String {
    format!("{number:?}")
}

fn refuse_during_increase(builder: &Builder, what: &str) -> Result<(), Stop> {
    match builder.next_part_power {
        None => Ok(()),
        Some(_) => Err(Stop::error(format!(
            "Partition power increase in progress. You need \nto finish the increase first before {what} devices."
        ))),
    }
}

pub(super) fn invalid(message: &str) -> Stop {
    Stop::error(format!(
        "{LINE}\nAn error has occurred during ring validation. Common\ncauses of failure are rings that are empty or do \
         not\nhave enough devices to accommodate the replica count.\nOriginal exception message:\n {message}\n{LINE}"
    ))
}

/// What the operator should look at after a rebalance.
fn advice(builder: &Builder, balance: f64) -> Option<String> {
    if builder.dispersion > 0.0 {
        return Some(format!(
            "NOTE: Dispersion of {:.6} indicates some parts are not\n      optimally dispersed.\n\n      You may want to \
             adjust some device weights, increase\n      the overload or review the dispersion report.",
            builder.dispersion
        ));
    }
    (balance > 5.0 && balance / 100.0 > builder.overload).then(|| {
        format!(
            "NOTE: Balance of {balance:.2} indicates you should push this \n      ring, wait at least {} hours, and \
             rebalance/repush.",
            builder.min_part_hours
        )
    })
}

const LINE: &str = "-------------------------------------------------------------------------------";
