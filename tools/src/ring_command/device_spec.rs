//! Core: how the command line names devices: `r1z2-10.1.2.3:6200R10.1.2.4:6210/sda_note`, to add and to search.
//!
//! Adding wants zone, address, port and name, in this order; searching takes any part, in this order, and nothing
//! matches everything. Both also come as options (`--region 1 --zone 2 …`).

use ring::Device;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What is said about devices.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct DeviceSpec {
    pub(super) id: Option<u32>,
    pub(super) region: Option<u32>,
    pub(super) zone: Option<u32>,
    pub(super) ip: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) replication_ip: Option<String>,
    pub(super) replication_port: Option<u16>,
    pub(super) device: Option<String>,
    pub(super) weight: Option<f64>,
    pub(super) meta: Option<String>,
}

impl DeviceSpec {
    /// `[r<region>]z<zone>-<ip>:<port>[R<rip>:<rport>]/<device>[_<meta>]`.
    pub(super) fn parse_add(text: &str) -> Result<DeviceSpec, String> {
        let invalid = || format!("Invalid add value: {text}");
        let mut rest = Rest(text);
        let mut spec = DeviceSpec::default();
        if rest.skip("r") {
            spec.region = Some(rest.number()?);
        }
        if !rest.skip("z") {
            return Err(invalid());
        }
        spec.zone = Some(rest.number()?);
        if !rest.skip("-") {
            return Err(invalid());
        }
        spec.ip = Some(normalize_ip(rest.until_colon_or_bracket())?);
        spec.port = Some(rest.required_port()?);
        if rest.skip("R") {
            spec.replication_ip = Some(normalize_ip(rest.until_colon_or_bracket())?);
            spec.replication_port = Some(rest.required_port()?);
        }
        if !rest.skip("/") {
            return Err(invalid());
        }
        let (device, meta) = rest.0.split_once('_').unwrap_or((rest.0, ""));
        spec.device = Some(check_device_name(device)?.to_owned());
        spec.meta = Some(meta.to_owned());
        Ok(spec)
    }

    /// `[d<id>][r<region>][z<zone>][-<ip>][:<port>][R<rip>[:<rport>]][/<device>][_<meta>]`.
    pub(super) fn parse_search(text: &str) -> Result<DeviceSpec, String> {
        let mut rest = Rest(text);
        let mut spec = DeviceSpec::default();
        if rest.skip("d") {
            spec.id = Some(rest.number()?);
        }
        if rest.skip("r") {
            spec.region = Some(rest.number()?);
        }
        if rest.skip("z") {
            spec.zone = Some(rest.number()?);
        }
        rest.skip("-");
        spec.ip = rest.ip()?;
        if rest.skip(":") {
            spec.port = Some(rest.number()?);
        }
        if rest.skip("R") {
            spec.replication_ip = rest.ip()?;
            if rest.skip(":") {
                spec.replication_port = Some(rest.number()?);
            }
        }
        if rest.skip("/") {
            let end = rest.0.find('_').unwrap_or(rest.0.len());
            spec.device = Some(rest.take(end).to_owned());
        }
        if rest.skip("_") {
            spec.meta = Some(rest.take(rest.0.len()).to_owned());
        }
        if rest.0.is_empty() { Ok(spec) } else { Err(format!("Invalid <search-value>: '{text}'")) }
    }

    /// Whether a device is meant. A note matches when it contains the text.
    pub(super) fn matches(&self, device: &Device) -> bool {
        let address = |wanted: &Option<String>, ip: &str| {
            wanted.as_ref().is_none_or(|wanted| normalize_ip(ip).is_ok_and(|ip| ip == *wanted))
        };
        self.id.is_none_or(|id| id == device.id)
            && self.region.is_none_or(|region| region == device.region)
            && self.zone.is_none_or(|zone| zone == device.zone)
            && address(&self.ip, &device.ip)
            && self.port.is_none_or(|port| port == device.port)
            && address(&self.replication_ip, &device.replication_ip)
            && self.replication_port.is_none_or(|port| port == device.replication_port)
            && self.device.as_ref().is_none_or(|name| *name == device.device)
            && self.weight.is_none_or(|weight| weight == device.weight)
            && self.meta.as_ref().is_none_or(|meta| device.meta.contains(meta.as_str()))
    }

    /// The device to add; names the first thing that is missing.
    pub(super) fn to_device(&self, weight: f64) -> Result<Device, String> {
        let missing = |name: &str| format!("Required argument {name} not specified.");
        let ip = self.ip.clone().ok_or_else(|| missing("-i/--ip"))?;
        let port = self.port.ok_or_else(|| missing("-p/--port"))?;
        Ok(Device {
            id: 0,
            region: self.region.unwrap_or(1),
            zone: self.zone.ok_or_else(|| missing("-z/--zone"))?,
            replication_ip: self.replication_ip.clone().unwrap_or_else(|| ip.clone()),
            replication_port: self.replication_port.unwrap_or(port),
            ip,
            port,
            device: self.device.clone().ok_or_else(|| missing("-d/--device"))?,
            weight,
            meta: self.meta.clone().unwrap_or_default(),
        })
    }

    /// Sets what is said; the rest of the device stays.
    pub(super) fn change(&self, device: &mut Device) {
        fn set<T: Clone>(target: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                target.clone_from(value);
            }
        }
        set(&mut device.ip, &self.ip);
        set(&mut device.port, &self.port);
        set(&mut device.replication_ip, &self.replication_ip);
        set(&mut device.replication_port, &self.replication_port);
        set(&mut device.device, &self.device);
        set(&mut device.meta, &self.meta);
    }
}

/// Device names become directory names.
pub(super) fn check_device_name(name: &str) -> Result<&str, String> {
    let bad = name.is_empty() || name.starts_with(' ') || name.ends_with(' ') || name.contains('/');
    if bad { Err("Invalid device name".to_owned()) } else { Ok(name) }
}

/// IPv6 in its compressed lower-case form; host names are refused.
pub(super) fn normalize_ip(text: &str) -> Result<String, String> {
    let plain = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = plain.parse::<Ipv4Addr>() {
        return Ok(ip.to_string());
    }
    plain.parse::<Ipv6Addr>().map(|ip| ip.to_string()).map_err(|_| format!("Invalid ip {plain}"))
}

/// What is left of the text.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self, prefix: &str) -> bool {
        match self.0.strip_prefix(prefix) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, String> {
        let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let digits = self.take(end);
        digits.parse().map_err(|_| format!("invalid literal for int() with base 10: '{digits}'"))
    }

    /// An address if one stands here: digits and points, or brackets.
    fn ip(&mut self) -> Result<Option<String>, String> {
        let end = match self.0.bytes().next() {
            Some(b'0'..=b'9') => self.0.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.0.len()),
            Some(b'[') => self.0.find(']').map_or(self.0.len(), |at| at + 1),
            _ => return Ok(None),
        };
        normalize_ip(self.take(end)).map(Some)
    }

    fn until_colon_or_bracket(&mut self) -> &'a str {
        let end = match self.0.starts_with('[') {
            true => self.0.find(']').map_or(self.0.len(), |at| at + 1),
            false => self.0.find([':', '/', 'R']).unwrap_or(self.0.len()),
        };
        self.take(end)
    }

    fn required_port(&mut self) -> Result<u16, String> {
        let here = self.0;
        if !self.skip(":") {
            return Err("Invalid port in add value".to_owned());
        }
        let end = here.find(['/', 'R']).unwrap_or(here.len());
        self.number().map_err(|_| format!("Invalid port {} in add value", here.split_at(end).0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn shown(spec: &DeviceSpec, adding: bool) -> Value {
        let all = [
            ("id", json!(spec.id)),
            ("region", json!(spec.region)),
            ("zone", json!(spec.zone)),
            ("ip", json!(spec.ip)),
            ("port", json!(spec.port)),
            ("replication_ip", json!(spec.replication_ip)),
            ("replication_port", json!(spec.replication_port)),
            ("device", json!(spec.device)),
            ("meta", json!(spec.meta)),
        ];
        let said = all.into_iter().filter(|(name, value)| if adding { *name != "id" } else { !value.is_null() });
        Value::Object(said.map(|(name, value)| (name.to_owned(), value)).collect())
    }

    fn check(kind: &str, parse: fn(&str) -> Result<DeviceSpec, String>) {
        let vectors: Value = serde_json::from_str(include_str!("../../tests/vectors/cli-syntax.json")).unwrap();
        for case in vectors[kind].as_array().unwrap() {
            let text = case["in"].as_str().unwrap();
            match (parse(text), case.get("error").and_then(Value::as_str)) {
                (Ok(spec), None) => assert_eq!(shown(&spec, kind == "add"), case["out"], "{text}"),
                (Err(error), Some(expected)) => assert_eq!(format!("ValueError: {error}"), expected, "{text}"),
                (result, _) => panic!("{text}: {result:?}, but {case}"),
            }
        }
    }

    #[test]
    fn devices_to_add_are_read_as_swift_reads_them() {
        check("add", DeviceSpec::parse_add);
    }

    #[test]
    fn searches_are_read_as_swift_reads_them() {
        check("search", DeviceSpec::parse_search);
    }

    #[test]
    fn a_search_compares_what_it_says() {
        let device = DeviceSpec::parse_add("r1z2-[2001:DB8::0001]:6200/sda_fast one").unwrap().to_device(5.0).unwrap();
        for (search, expected) in
            [("", true), ("[2001:db8:0::1]", true), ("r1/sda", true), ("_fast", true), ("r2", false), ("/sdb", false)]
        {
            assert_eq!(DeviceSpec::parse_search(search).unwrap().matches(&device), expected, "{search}");
        }
    }
}
