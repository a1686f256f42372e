//! Core: what the ring builder prints, laid out as Swift's tool does: scripts parse it.

use ring::Device;
use ring::builder::{Builder, BuilderDevice};
use std::collections::BTreeSet;

/// `d0r1z1-127.0.0.1:6200R127.0.0.1:6200/d1_"note"`.
pub(super) fn device_name(device: &Device) -> String {
    let Device { id, region, zone, port, replication_port, device: name, meta, .. } = device;
    let (ip, replication_ip) = (bracketed(&device.ip), bracketed(&device.replication_ip));
    format!("d{id}r{region}z{zone}-{ip}:{port}R{replication_ip}:{replication_port}/{name}_\"{meta}\"")
}

/// Everything about a builder; `ring_line` is what is to be said about the ring file.
pub(super) fn overview(builder: &Builder, file: &str, ring_line: &str, now: u64) -> String {
    let devices: Vec<&Device> = builder.iter().map(|device| &device.device).collect();
    let regions: BTreeSet<u32> = devices.iter().map(|device| device.region).collect();
    let zones: BTreeSet<(u32, u32)> = devices.iter().map(|device| (device.region, device.zone)).collect();
    let empty = builder.weight_of_one_part().is_none();
    let balance = if empty { 0.0 } else { builder.balance() };
    let mut lines = vec![
        format!("{file}, build version {}, id {}", builder.version, builder.id.as_deref().unwrap_or("(not assigned)")),
        format!(
            "{} partitions, {:.6} replicas, {} regions, {} zones, {} devices, {}-byte IDs, {balance:.2} balance, {:.2} dispersion",
            builder.parts(),
            builder.replicas,
            regions.len(),
            zones.len(),
            devices.len(),
            builder.device_id_bytes(),
            builder.dispersion
        ),
        format!(
            "The minimum number of hours before a partition can be reassigned is {} ({} remaining)",
            builder.min_part_hours,
            duration(builder.min_part_seconds_left(now))
        ),
        format!("The overload factor is {:.2}% ({:.6})", builder.overload * 100.0, builder.overload),
        ring_line.to_owned(),
    ];
    lines.extend(device_table(builder, empty));
    lines.extend(increase_notes(builder));
    if empty {
        lines.push("There are no devices in this ring, or all devices have been deleted".to_owned());
    }
    lines.join("\n") + "\n"
}

/// The devices of a search.
pub(super) fn search_table(builder: &Builder, found: &[u32]) -> String {
    let mut text = "Devices:    id  region  zone      ip address  port  replication ip  replication port      name \
                    weight partitions balance meta\n"
        .to_owned();
    for entry in found.iter().filter_map(|id| builder.device(*id)) {
        let Device { id, region, zone, ip, port, replication_ip, replication_port, device, weight, meta } =
            &entry.device;
        let (parts, balance) = (entry.parts, builder.balance_of(entry));
        text.push_str(&format!(
            "         {id:5} {region:7} {zone:5} {ip:>15} {port:5} {replication_ip:>15} {replication_port:17} \
             {device:>9} {weight:6.2} {parts:10} {balance:7.2} {meta}\n"
        ));
    }
    text
}

/// Seconds as Python shows a timedelta: `1 day, 2:03:04`.
pub(super) fn duration(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!("{}:{:02}:{:02}", rest / 3_600, rest / 60 % 60, rest % 60);
    match days {
        0 => clock,
        1 => format!("1 day, {clock}"),
        _ => format!("{days} days, {clock}"),
    }
}

fn device_table(builder: &Builder, empty: bool) -> Vec<String> {
    let mut devices: Vec<&BuilderDevice> = builder.iter().collect();
    let (ip_least, port_least, weight_least) = (10, 4, 6);
    let widest = |least: usize, length: &dyn Fn(&Device) -> usize| {
        devices.iter().map(|device| length(&device.device)).fold(least, usize::max)
    };
    let brackets = |ip: &dyn Fn(&Device) -> &str| devices.iter().any(|device| ip(&device.device).contains(':'));
    let ip_width = widest(ip_least, &|d| d.ip.len()) + if brackets(&|d| &d.ip) { 2 } else { 0 };
    let port_width = widest(port_least, &|d| d.port.to_string().len());
    let rip_width = widest(14, &|d| d.replication_ip.len()) + if brackets(&|d| &d.replication_ip) { 2 } else { 0 };
    let rport_width = widest(port_least, &|d| d.replication_port.to_string().len());
    let weight_width = widest(weight_least, &|d| format!("{:.2}", d.weight).len());
    let mut lines = vec![format!(
        "Devices:{:>5} {:>6} {:>4} {:>ip_width$}:{:<port_width$} {:>rip_width$}:{:<rport_width$} {:>5} \
         {:>weight_width$} {:>10} {:>7} {:>5} meta",
        "id",
        "region",
        "zone",
        "ip address",
        "port",
        "replication ip",
        "port",
        "name",
        "weight",
        "partitions",
        "balance",
        "flags"
    )];
    devices.sort_by_key(|entry| {
        let device = &entry.device;
        (device.region, device.zone, device.ip.clone(), device.device.clone())
    });
    lines.extend(devices.into_iter().map(|entry| {
        let Device { id, region, zone, port, replication_port, device, weight, meta, .. } = &entry.device;
        let (ip, replication_ip) = (bracketed(&entry.device.ip), bracketed(&entry.device.replication_ip));
        let balance = if empty { 0.0 } else { builder.balance_of(entry) };
        let flags = if builder.is_removed(*id) { "DEL" } else { "" };
        let parts = entry.parts;
        format!(
            "{id:13} {region:6} {zone:4} {ip:>ip_width$}:{port:<port_width$} \
             {replication_ip:>rip_width$}:{replication_port:<rport_width$} {device:>5} {weight:weight_width$.2} \
             {parts:>10} {balance:7.2} {flags:>5} {meta}"
        )
    }));
    lines
}

fn increase_notes(builder: &Builder) -> Vec<String> {
    let power = builder.part_power;
    match builder.next_part_power {
        Some(next) if next == power + 1 => vec![
            format!("\nPreparing increase of partition power ({power} -> {next})"),
            "Run \"swift-object-relinker relink\" on all nodes before moving on to increase_partition_power."
                .to_owned(),
        ],
        Some(next) if next == power => vec![
            format!("\nIncreased partition power ({power} -> {next})"),
            "Run \"swift-object-relinker cleanup\" on all nodes before moving on to finish_increase_partition_power."
                .to_owned(),
        ],
        _ => Vec::new(),
    }
}

fn bracketed(ip: &str) -> String {
    if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() }
}
