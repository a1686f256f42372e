//! Core: the ring builder's words: options with a value, flags, and the rest in order.

use super::device_spec::{DeviceSpec, check_device_name, normalize_ip};

/// What a command was given.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    /// From `--region`, `--ip` …
    pub(super) device: DeviceSpec,
    /// From `--change-ip` …
    pub(super) change: DeviceSpec,
    pub(super) yes: bool,
    pub(super) force: bool,
    pub(super) seed: Option<String>,
    pub(super) format_version: Option<String>,
    /// Everything else.
    pub(super) words: Vec<String>,
}

impl Options {
    /// Parses the words behind the command.
    pub(super) fn parse(words: &[String]) -> Result<Options, String> {
        let mut options = Options::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (name, attached) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (word.as_str(), None),
            };
            // A search may begin with a dash before an address: `-10.0.0.1`.
            let is_option =
                name.starts_with('-') && !name.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
            if !is_option || name == "-" {
                options.words.push(word.clone());
                continue;
            }
            match name {
                "-y" | "--yes" => options.yes = true,
                "-f" | "--force" => options.force = true,
                // Accepted, says nothing more.
                "--debug" => {}
                _ => {
                    let value = attached.or_else(|| words.next().cloned());
                    let value = value.ok_or_else(|| format!("{name} option requires 1 argument"))?;
                    options.set(name, &value)?;
                }
            }
        }
        Ok(options)
    }

    /// Whether devices were named by options.
    pub(super) fn has_device(&self) -> bool {
        self.device != DeviceSpec::default()
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = || value.parse::<u32>().map_err(|_| format!("option {name}: invalid integer value: '{value}'"));
        let port = || value.parse::<u16>().map_err(|_| format!("option {name}: invalid integer value: '{value}'"));
        let (device, change) = (&mut self.device, &mut self.change);
        match name {
            "-u" | "--id" => device.id = Some(number()?),
            "-r" | "--region" => device.region = Some(number()?),
            "-z" | "--zone" => device.zone = Some(number()?),
            "-i" | "--ip" => device.ip = Some(normalize_ip(value)?),
            "-p" | "--port" => device.port = Some(port()?),
            "-j" | "--replication-ip" => device.replication_ip = Some(normalize_ip(value)?),
            "-q" | "--replication-port" => device.replication_port = Some(port()?),
            "-d" | "--device" => device.device = Some(check_device_name(value)?.to_owned()),
            "-w" | "--weight" => {
                let weight =
                    value.parse().map_err(|_| format!("option {name}: invalid floating-point value: '{value}'"));
                device.weight = Some(weight?);
            }
            "-m" | "--meta" => device.meta = Some(value.to_owned()),
            "-I" | "--change-ip" => change.ip = Some(normalize_ip(value)?),
            "-P" | "--change-port" => change.port = Some(port()?),
            "-J" | "--change-replication-ip" => change.replication_ip = Some(normalize_ip(value)?),
            "-Q" | "--change-replication-port" => change.replication_port = Some(port()?),
            "-D" | "--change-device" => change.device = Some(check_device_name(value)?.to_owned()),
            "-M" | "--change-meta" => change.meta = Some(value.to_owned()),
            "-s" | "--seed" => self.seed = Some(value.to_owned()),
            "--format-version" => self.format_version = Some(value.to_owned()),
            _ => return Err(format!("no such option: {name}")),
        }
        Ok(())
    }
}
